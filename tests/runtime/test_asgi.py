"""ASGI applications: HTTP, lifespan, disconnects, background work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .harness import Instance, parse, read_all, request, until

SOURCE = """
import asyncio, json
log = []
async def reply(send, body=b"", status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
async def view(scope, receive, send):
    message = await receive()
    assert message["type"] == "http.request" and message["more_body"] is False
    names = ("type", "http_version", "method", "scheme", "path", "root_path", "state")
    shown = {key: scope[key] for key in names}
    shown["raw_path"] = scope["raw_path"].decode()
    shown["query"] = scope["query_string"].decode()
    shown["server"] = scope["server"]
    shown["headers"] = [[k.decode("latin-1"), v.decode("latin-1")] for k, v in scope["headers"]]
    shown["body"] = message["body"].decode()
    await reply(send, json.dumps(shown).encode(), headers=[(b"content-type", b"application/json")])
async def parts(scope, receive, send):
    headers = [(b"x-a", b"1"), (b"content-length", b"6")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await send({"type": "http.response.body", "body": b"two"})
async def background(scope, receive, send):
    await reply(send, b"first")
    assert (await receive())["type"] == "http.request"
    assert (await receive())["type"] == "http.disconnect"
    print("later")
async def disconnect(scope, receive, send):
    await receive()
    print("waiting")
    print((await receive())["type"])
async def raising(scope, receive, send):
    raise RuntimeError("the secret 4711")
async def raising_midway(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"x", "more_body": True})
    raise RuntimeError("midway")
async def silent(scope, receive, send):
    pass
async def unfinished(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
async def out_of_turn(scope, receive, send):
    await send({"type": "http.response.body", "body": b"x"})
async def twice(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.start", "status": 200})
async def inject(scope, receive, send):
    await reply(send, headers=[(b"x", b"a\\r\\nb: c")])
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["pool"] = 5
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        print("shutting down")
        await send({"type": "lifespan.shutdown.complete"})
        return
    await globals()[scope["path"].removeprefix("/acme/orders").split("/")[1]](scope, receive, send)
"""


def instance_of(folder: Path, source: str = SOURCE, **spec: Any) -> Instance:
    return Instance(folder, source, kind="asgi", handler="main:app", **spec)


STREAMING = pytest.mark.parametrize("streaming", [False, True])


@STREAMING
def test_scope(tmp_path: Path, streaming: bool) -> None:
    with instance_of(tmp_path, streaming=streaming) as instance:
        answer = instance.call(
            request("PUT", "/acme/orders/view/%C3%BC?a=1", b"body", host="h:81", x_forwarded_proto="https")
        )
        assert answer.headers["content-length"] == str(len(answer.body))
        assert answer.json == {
            "type": "http",
            "http_version": "1.1",
            "method": "PUT",
            "scheme": "https",
            "path": "/acme/orders/view/ü",
            "root_path": "/acme/orders",
            "state": {"pool": 5},
            "raw_path": "/acme/orders/view/%C3%BC",
            "query": "a=1",
            "server": ["h", 81],
            "headers": [
                *(["host", "h:81"], ["x-request-id", "req-1"], ["x-forwarded-proto", "https"]),
                ["content-length", "4"],
            ],
            "body": "body",
        }


@STREAMING
def test_parts(tmp_path: Path, streaming: bool) -> None:
    with instance_of(tmp_path, streaming=streaming) as instance:
        answer = instance.call(request("GET", "/parts"))
        assert (answer.status, answer.headers["x-a"], answer.body) == (201, "1", b"onetwo")
        assert ("transfer-encoding" in answer.headers) == streaming
        head = instance.raw(request("HEAD", "/parts"))
        assert head.endswith(b"\r\n\r\n")
        assert head.count(b"\r\n\r\n") == 1


@STREAMING
def test_background_work_goes_on_after_the_answer(tmp_path: Path, streaming: bool) -> None:
    with instance_of(tmp_path, streaming=streaming) as instance:
        assert instance.call(request("GET", "/background")).body == b"first"
        until(lambda: "later" in [item["m"] for item in instance.log()], "the work after")


@STREAMING
def test_a_caller_who_leaves_is_a_disconnect(tmp_path: Path, streaming: bool) -> None:
    with instance_of(tmp_path, streaming=streaming) as instance:
        with instance.connect() as connection:
            connection.sendall(request("GET", "/disconnect"))
            until(lambda: "waiting" in [item["m"] for item in instance.log()], "the wait")
        until(lambda: "http.disconnect" in [item["m"] for item in instance.log()], "the disconnect")
        assert instance.call(request("GET", "/parts")).status == 201


@STREAMING
@pytest.mark.parametrize(
    "name", ["raising", "silent", "unfinished", "out_of_turn", "twice", "inject", "nowhere"]
)
def test_failures(tmp_path: Path, streaming: bool, name: str) -> None:
    with instance_of(tmp_path, streaming=streaming) as instance:
        answer = instance.call(request("GET", f"/{name}"))
        assert (answer.status, answer.json["code"], answer.json["fault"]) == (500, "handler_failed", "author")
        assert b"4711" not in answer.raw
        assert answer.json["request_id"] == "req-1"
        assert instance.call(request("GET", "/parts")).status == 201


@STREAMING
def test_a_failure_midway(tmp_path: Path, streaming: bool) -> None:
    with instance_of(tmp_path, streaming=streaming) as instance:
        raw = instance.raw(request("GET", "/raising_midway"))
        if streaming:
            assert raw.endswith(b"1\r\nx\r\n")
        else:
            assert raw.startswith(b"HTTP/1.1 500 ")
        assert len([item for item in instance.log() if item["l"] == "error"]) == 1


def test_lifespan_ends_with_the_instance(tmp_path: Path) -> None:
    with instance_of(tmp_path) as instance:
        assert instance.call(request("GET", "/parts")).status == 201
        instance.quit()
        assert "shutting down" in [item["m"] for item in instance.log()]


def test_an_application_without_lifespan_serves(tmp_path: Path) -> None:
    source = SOURCE.replace('assert (await receive())["type"] == "lifespan.startup"', "raise RuntimeError")
    with instance_of(tmp_path, source) as instance:
        assert instance.call(request("GET", "/parts")).status == 201
        instance.quit()
        assert instance.exit == 0


def test_a_failed_startup_fails_the_instance(tmp_path: Path) -> None:
    source = SOURCE.replace(
        '{"type": "lifespan.startup.complete"}',
        '{"type": "lifespan.startup.failed", "message": "no database"}',
    )
    with instance_of(tmp_path, source) as instance:
        assert instance.event["event"] == "failed"
        assert "no database" in instance.event["message"]
        assert instance.wait() == 3


def test_an_upgrade_is_refused_where_streaming_is_not_declared(tmp_path: Path) -> None:
    with instance_of(tmp_path) as instance, instance.connect() as connection:
        connection.sendall(request("GET", "/view", upgrade="websocket", connection="Upgrade"))
        answer = parse(read_all(connection))
        assert (answer.status, answer.json["code"]) == (400, "upgrade_refused")
