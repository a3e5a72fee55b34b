"""Callers who want two parsers to disagree, or a line of the log to lie."""

from __future__ import annotations

import json
import socket

import pytest

from tests.ingress.harness import RawBackend, World, until
from tests.ingress.objects import ingress, path, rule, split

HOST = b"Host: hello.example.com\r\n"
INNER = b"GET /smuggled HTTP/1.1\r\nHost: hello.example.com\r\n\r\n"


class Witness:
    """A lenient HTTP/1.1 backend that keeps every byte it gets and answers each piece once."""

    def __init__(self) -> None:
        self.seen = b""
        self.backend = RawBackend(self._serve)

    def _serve(self, connection: socket.socket) -> None:
        while piece := connection.recv(65_536):
            self.seen += piece
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def send(world: World, raw: bytes) -> bytes:
    """Send bytes on one connection and return all that comes back until it is quiet or closed."""
    with world.connect() as connection:
        connection.settimeout(1.0)
        connection.sendall(raw)
        answer = b""
        try:
            while piece := connection.recv(65_536):
                answer += piece
        except TimeoutError:
            pass
        return answer


@pytest.fixture
def witness(shared: World) -> Witness:
    """A backend behind `hello.example.com`."""
    made = Witness()
    shared.serve("witness", made.backend.port)
    shared.apply(ingress(rule(path(split("witness")))))
    return made


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding:\x0bchunked\r\nContent-Length: 0\r\n",
        b"Content-Length: 0\r\nContent-Length: 52\r\n",
        b"Content-Length: 0, 52\r\n",
        b"Content-Length: +52\r\n",
        b"Content-Length: 0\r\n Transfer-Encoding: chunked\r\n",
        b"Content-Length: 0\nTransfer-Encoding: chunked\r\n",
        b"X: y\r\rTransfer-Encoding: chunked\r\n",
    ],
)
def test_no_second_request_is_smuggled_inside_a_body(shared: World, witness: Witness, head: bytes) -> None:
    answer = send(shared, b"POST /outer HTTP/1.1\r\n" + HOST + head + b"\r\n0\r\n\r\n" + INNER)
    # Either it is refused, or both sides see the same number of requests.
    requests = witness.seen.count(b" HTTP/1.1\r\n")
    answers = answer.count(b"HTTP/1.1 ")
    refused = answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 5")) or not answer
    assert refused or requests == answers, (answer, witness.seen)
    if refused:
        assert b"/smuggled" not in witness.seen
    # What reaches the backend never says its length in two ways.
    for message in witness.seen.split(b"POST /outer")[1:]:
        sent = message.split(b"\r\n\r\n")[0].lower()
        assert sent.count(b"content-length:") + sent.count(b"transfer-encoding:") <= 1


@pytest.mark.parametrize(
    "raw",
    [
        b"GET http://other.example.com/ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: other.example.com\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Host: other.example.com\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: hello.example.com\x00.other.example.com\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: hello.example.com, other.example.com\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"CONNECT hello.example.com:80 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
)
def test_a_request_of_two_minds_is_not_passed_on(shared: World, witness: Witness, raw: bytes) -> None:
    answer = send(shared, raw)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert witness.seen == b""


def test_a_line_of_the_log_is_one_record_whatever_the_caller_sends(world: World) -> None:
    world.echo("one")
    world.apply(ingress(rule(path(split("one")))))
    odd = b'a"b\\c,"st":"200"}%0a{'
    send(world, b"GET /" + odd + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    send(world, b"GET / HTTP/1.1\r\nHost: " + odd + b"\r\nConnection: close\r\n\r\n")
    send(world, b"not HTTP at all\r\n\r\n")

    def records() -> list[dict[str, str]]:
        lines = world.output.read_bytes().splitlines()
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    until(lambda: len(records()) >= 2)
    said = records()
    assert all(isinstance(value, str) for record in said for value in record.values())
    assert said[0]["path"] == "/" + odd.decode()
    assert (said[0]["st"], said[0]["slot"], said[0]["why"]) == ("200", "k0", "")
    # The probes that prove readiness are no calls.
    assert not any(record["server"] == "<NOSRV>" and record["st"] == "200" for record in said)
