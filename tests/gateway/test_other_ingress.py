"""Functions behind an ingress of the cluster's own, such as Kourier, Istio or Contour: a stand-in for one."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.harness import (
    Request,
    World,
    a_world,
    open_websocket,
    read_reply_head,
    read_request,
    websocket,
)

VERSION = "t1-orders.prj-shop.svc.cluster.local"


class Ingress(socketserver.ThreadingTCPServer):
    """Answers for known hosts on kept connections, and with a page of its own for all others."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.connections = 0
        self.open: list[socket.socket] = []
        self.requests: list[Request] = []
        self.answers: Counter[str] = Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        """End at once, as a process that is killed."""
        self.shutdown()
        self.server_close()
        for one in self.open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Handler(socketserver.BaseRequestHandler):
    server: Ingress

    def handle(self) -> None:
        self.server.connections += 1
        self.server.open.append(self.request)
        self.request.settimeout(20)
        with contextlib.suppress(OSError):
            while (request := read_request(self.request)) is not None:
                self.server.requests.append(request)
                if request.header("upgrade"):
                    websocket(request, self.request)
                    return
                known = request.header("host") == VERSION
                line, body = ("200 OK", b"ok") if known else ("404 Not Found", b"no route")
                head = f"HTTP/1.1 {line}\r\nContent-Length: {len(body)}\r\n\r\n"
                self.request.sendall(head.encode() + body)


@pytest.fixture
def ingress() -> Iterator[Ingress]:
    made = Ingress()
    yield made
    made.close()


@pytest.fixture
def world(tmp_path: Path, ingress: Ingress) -> Iterator[World]:
    with a_world(tmp_path, ingress=ingress.address) as made:
        made.start()
        made.gateway.apply(made.state(made.target("t1", socket=f"http://{VERSION}", maxconn=8)))
        yield made


def test_it_is_asked_for_the_versions_host_and_told_the_callers(world: World, ingress: Ingress) -> None:
    headers = {"Host": "functions.example", "X-Forwarded-Host": "evil"}
    reply = world.call("/acme/orders/a?b=c", headers=headers)
    assert (reply.status, reply.body) == (200, b"ok")
    seen = ingress.requests[-1]
    assert seen.line == "POST /a?b=c HTTP/1.1"
    assert seen.header("host") == VERSION
    assert seen.header("x-forwarded-host") == "functions.example"
    assert seen.header("x-forwarded-prefix") == "/acme/orders"
    assert seen.header("x-api-key") is None
    record = world.record_of(reply)
    assert (record.target, record.status, record.why) == ("t1", 200, "")


def test_keys_are_checked_before_it_is_asked(world: World, ingress: Ingress) -> None:
    assert world.call(key=None).code == "key_missing"
    assert world.call(key="ik_wrong").code == "key_unknown"
    assert ingress.requests == []


def test_calls_share_connections_to_it(world: World, ingress: Ingress) -> None:
    for _ in range(60):
        assert world.call().status == 200
    assert len(ingress.requests) == 60
    # As many as there were at once; a connection for each call would use up its ports.
    assert ingress.connections <= 8


def test_while_it_is_away_calls_are_refused_and_afterwards_they_go_on(world: World, ingress: Ingress) -> None:
    assert world.call().status == 200
    port = int(ingress.server_address[1])
    before = world.gateway._process()
    ingress.close()
    reply = world.call()
    assert (reply.status, reply.code) == (503, "function_unavailable")
    back = Ingress(port)
    try:
        assert world.call().status == 200
        assert world.gateway._process() == before
    finally:
        back.close()


def test_what_it_says_itself_reaches_the_caller_and_is_counted(world: World) -> None:
    other = world.target("t2", socket="http://gone.prj-shop.svc.cluster.local")
    world.gateway.apply(world.state(other))
    reply = world.call()
    assert (reply.status, reply.body) == (404, b"no route")
    assert world.record_of(reply).target == "t2"


def test_a_websocket_passes_it(world: World, ingress: Ingress) -> None:
    streaming = world.target("t3", socket=f"http://{VERSION}", streaming=True)
    world.gateway.apply(world.state(streaming))
    with open_websocket(world, "/acme/orders", "ingot.key.ik_0123456789abcdef") as connection:
        assert read_reply_head(connection).status == 101
        connection.sendall(b"\x81\x02hi")
        assert connection.recv(4) == b"\x81\x02hi"
    assert ingress.requests[-1].header("host") == VERSION
