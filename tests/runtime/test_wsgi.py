"""WSGI applications (PEP 3333)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .harness import Instance, request

SOURCE = """
import sys
class Body:
    def __iter__(self):
        yield b"one"
        yield b"two"
    def close(self):
        print("closed")
def environ_view(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    names = ["REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH",
             "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "wsgi.url_scheme", "HTTP_X_A",
             "wsgi.multithread"]
    assert "HTTP_CONTENT_TYPE" not in environ
    body = environ["wsgi.input"].read()
    return ["\\n".join(str(environ.get(name)) for name in names).encode() + b"\\n" + body]
def parts(environ, start):
    start("201 Created", [("X-A", "1"), ("Content-Length", "6")])
    return Body()
def written(environ, start):
    write = start("200 OK", [])
    write(b"by write, ")
    return [b"by return"]
def replaced(environ, start):
    start("200 OK", [])
    try:
        raise ValueError
    except ValueError:
        start("503 Busy", [("X", "y")], sys.exc_info())
    return [b"busy"]
def twice(environ, start):
    start("200 OK", [])
    start("200 OK", [])
    return []
def silent(environ, start):
    return [b"x"]
def raising(environ, start):
    raise RuntimeError("the secret 4711")
def failing_body(environ, start):
    start("200 OK", [])
    yield b"x"
    raise RuntimeError
def text(environ, start):
    start("200 OK", [])
    return ["text"]
def inject(environ, start):
    start("200 OK", [("X", "a\\r\\nb: c")])
    return []
def late(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    yield b"late"
def app(environ, start):
    name = environ["PATH_INFO"].split("/")[1]
    return globals()[name](environ, start)
"""


def instance_of(folder: Path, **spec: Any) -> Instance:
    return Instance(folder, SOURCE, kind="wsgi", handler="main:app", **spec)


STREAMING = pytest.mark.parametrize("streaming", [False, True])


@STREAMING
def test_environ(tmp_path: Path, streaming: bool) -> None:
    with instance_of(tmp_path, streaming=streaming) as instance:
        answer = instance.call(
            request(
                "PUT",
                "/acme/orders/environ_view/%C3%BC?a=%20b",
                b"body",
                content_type="text/x",
                x_a="1",
                host="h:81",
                x_forwarded_proto="https",
            )
        )
        assert answer.status == 200
        assert answer.body.decode().split("\n") == [
            *[
                "PUT",
                "/acme/orders",
                "/environ_view/Ã¼".encode("latin-1").decode("latin-1"),
                "a=%20b",
                "text/x",
            ],
            *["4", "h", "81", "HTTP/1.1", "https", "1", "False", "body"],
        ]


def test_headers_cannot_pose_as_others(tmp_path: Path) -> None:
    with instance_of(tmp_path) as instance:
        raw = b"GET /acme/orders/environ_view HTTP/1.1\r\nX_A: forged\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
        assert b"\n1,2\n" in instance.call(raw).body


@STREAMING
def test_bodies(tmp_path: Path, streaming: bool) -> None:
    with instance_of(tmp_path, streaming=streaming) as instance:
        answer = instance.call(request("GET", "/parts"))
        assert (answer.status, answer.headers["x-a"], answer.body) == (201, "1", b"onetwo")
        assert ("transfer-encoding" in answer.headers) == streaming
        assert "closed" in [item["m"] for item in instance.log()]
        assert instance.call(request("GET", "/written")).body == b"by write, by return"
        assert instance.call(request("GET", "/replaced")).status == 503
        assert instance.call(request("GET", "/late")).body == b"late"
        head = instance.raw(request("HEAD", "/parts"))
        assert head.startswith(b"HTTP/1.1 201 ")
        assert head.endswith(b"\r\n\r\n")


@STREAMING
@pytest.mark.parametrize("name", ["twice", "silent", "raising", "text", "inject", "unknown"])
def test_failures(tmp_path: Path, streaming: bool, name: str) -> None:
    with instance_of(tmp_path, streaming=streaming) as instance:
        raw = instance.raw(request("GET", f"/{name}"))
        assert raw.startswith(b"HTTP/1.1 500 ") or (streaming and not raw.endswith(b"0\r\n\r\n"))
        assert b"4711" not in raw
        assert b"\r\nb: c" not in raw
        assert instance.call(request("GET", "/parts")).status == 201


def test_a_failing_body_is_a_problem_when_computed(tmp_path: Path) -> None:
    with instance_of(tmp_path) as instance:
        answer = instance.call(request("GET", "/failing_body"))
        assert (answer.status, answer.json["code"]) == (500, "handler_failed")


def test_threads_serve_at_once(tmp_path: Path) -> None:
    with instance_of(tmp_path, limits={"concurrency": 2}) as instance:
        assert b"\nTrue\n" in instance.call(request("GET", "/environ_view")).body


VALIDATED = """
from wsgiref.validate import validator
def inner(environ, start):
    environ["wsgi.errors"].write("a line\\n")
    environ["wsgi.errors"].flush()
    body = environ["wsgi.input"].read(100)
    start("200 OK", [("Content-Type", "application/octet-stream")])
    return [body]
app = validator(inner)
"""


@STREAMING
def test_the_standard_librarys_validator_has_no_complaint(tmp_path: Path, streaming: bool) -> None:
    with Instance(tmp_path, VALIDATED, kind="wsgi", handler="main:app", streaming=streaming) as instance:
        answer = instance.call(request("POST", "/acme/orders", b"body", content_type="a/b"))
        assert (answer.status, answer.body) == (200, b"body"), instance.log()
        assert [item["m"] for item in instance.log()] == ["a line"]
