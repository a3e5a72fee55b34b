"""Streams of handlers: chunks, server-sent events, failures midway, readers who leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .harness import Instance, parse, post_json, request, until

SOURCE = """
import time
def numbers():
    yield 1
    yield {"a": "b"}
def texts():
    yield "ü"
    yield b"\\xff"
    yield ""
    yield "end"
def events():
    yield "two\\nlines"
    yield {"event": "tick", "id": 7, "data": {"n": 1}}
    yield {"data": "x", "other": 1}
def broken():
    yield "first"
    raise RuntimeError("midway")
def early():
    raise RuntimeError("at once")
    yield
def unsendable():
    yield "first"
    yield object()
def endless():
    try:
        while True:
            yield "x" * 1000
    finally:
        print("closed")
def empty():
    return
    yield
def execute(input, context):
    stream = globals()[input.removesuffix("-sse").removesuffix("-created")]()
    if input.endswith("-sse"):
        return 200, {"Content-Type": "text/event-stream"}, stream
    if input.endswith("-created"):
        return 201, {"Content-Type": "text/plain", "X-A": "1"}, stream
    return stream
"""


def variant(kind: str) -> str:
    if kind == "async":
        return SOURCE.replace("def execute", "async def execute")
    if kind == "async generators":
        return SOURCE.replace("\ndef ", "\nasync def ")
    return SOURCE


KINDS = pytest.mark.parametrize("kind", ["sync", "async", "async generators"])


@KINDS
def test_chunks(tmp_path: Path, kind: str) -> None:
    with Instance(tmp_path, variant(kind), streaming=True) as instance:
        answer = instance.post("numbers")
        assert answer.status == 200
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.headers
        assert [json.loads(line) for line in answer.body.splitlines()] == [1, {"a": "b"}]
        assert instance.post("texts").body == "ü".encode() + b"\xffend"
        assert instance.post("empty").body == b""
        created = instance.post("texts-created")
        assert (created.status, created.headers["x-a"]) == (201, "1")
        assert created.headers["content-type"] == "text/plain"


@KINDS
def test_events(tmp_path: Path, kind: str) -> None:
    expected = (
        b'data: two\ndata: lines\n\nevent: tick\nid: 7\ndata: {"n":1}\n\ndata: {"data":"x","other":1}\n\n'
    )
    with Instance(tmp_path, variant(kind), streaming=True) as instance:
        asked = instance.post("events", accept="text/event-stream")
        declared = instance.post("events-sse")
        for answer in (asked, declared):
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.body == expected


@KINDS
@pytest.mark.parametrize("name", ["broken", "unsendable"])
def test_a_break_midway_is_cut_off_and_logged(tmp_path: Path, kind: str, name: str) -> None:
    with Instance(tmp_path, variant(kind), streaming=True) as instance:
        raw = instance.raw(post_json(name))
        assert raw.endswith(b"5\r\nfirst\r\n")
        assert until(lambda: [item for item in instance.log() if item["l"] == "error"], "the record")
        assert instance.post("empty").status == 200


@KINDS
def test_a_failure_before_the_first_piece_is_a_problem(tmp_path: Path, kind: str) -> None:
    with Instance(tmp_path, variant(kind), streaming=True) as instance:
        answer = instance.post("early")
        assert (answer.status, answer.json["code"]) == (500, "handler_failed")


@KINDS
def test_a_reader_who_leaves_ends_the_stream(tmp_path: Path, kind: str) -> None:
    with Instance(tmp_path, variant(kind), streaming=True) as instance:
        with instance.connect() as connection:
            connection.sendall(post_json("endless"))
            assert connection.recv(10_000)
        until(lambda: "closed" in [item["m"] for item in instance.log()], "the stream's end")
        assert instance.post("empty").status == 200


@KINDS
def test_a_reader_who_does_not_read_ends_before_the_deadline(tmp_path: Path, kind: str) -> None:
    with Instance(tmp_path, variant(kind), streaming=True, limits={"timeout_ms": 600}) as instance:
        with instance.connect() as connection:
            connection.sendall(post_json("endless"))
            until(lambda: "closed" in [item["m"] for item in instance.log()], "the stream's end")
        assert instance.slots()["slots"][0][0] == 0


@KINDS
def test_head_and_http_1_0(tmp_path: Path, kind: str) -> None:
    source = variant(kind).replace("globals()[input", "globals()[context.query['name']")
    with Instance(tmp_path, source.replace("input.", "''."), streaming=True) as instance:
        head = instance.raw(request("HEAD", "/?name=texts"))
        assert head.endswith(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        old = instance.raw(b"GET /?name=texts HTTP/1.0\r\n\r\n")
        assert b"Transfer-Encoding" not in old
        assert parse(old).body == "ü".encode() + b"\xffend"


@KINDS
def test_a_version_that_is_not_streaming_refuses_generators(tmp_path: Path, kind: str) -> None:
    with Instance(tmp_path, variant(kind)) as instance:
        answer = instance.post("numbers")
        assert (answer.status, answer.json["code"], answer.json["fault"]) == (500, "handler_failed", "author")
        assert "not declared streaming" in answer.json["detail"]


def test_an_async_generator_function_is_a_handler(tmp_path: Path) -> None:
    source = "async def execute(input, context):\n    yield 'a'\n    yield 'b'\n"
    with Instance(tmp_path, source, streaming=True) as instance:
        assert instance.post(1).body == b"ab"


def test_a_line_break_in_an_event_field_is_refused(tmp_path: Path) -> None:
    source = "def execute(input, context):\n    yield {'event': 'a\\ndata: forged', 'data': 1}\n"
    with Instance(tmp_path, source, streaming=True) as instance:
        answer = instance.post(1, accept="text/event-stream")
        assert (answer.status, answer.json["code"]) == (500, "output_invalid")
