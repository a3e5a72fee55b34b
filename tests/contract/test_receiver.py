"""The consumers' door against whoever is not the Broker, and against events that are not ours."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from control_plane.events.receiver import Receiver

_SOURCE, _TOKEN = "/ingot/ingot-system", "ab" * 32
_EVENT = "evt_01jd8qz4t6v8x0z2b4d6f8h0k2"


@dataclass
class Door:
    """A receiver, and what it let through."""

    taken: list[tuple[str, str]] = field(default_factory=list)
    fault: Exception | None = None

    def __post_init__(self) -> None:
        self.receiver = Receiver(("127.0.0.1", 0), _SOURCE, {"images": _TOKEN}, self._take)

    def _take(self, consumer: str, event: str) -> bool:
        if self.fault is not None:
            raise self.fault
        self.taken.append((consumer, event))
        return True

    def post(
        self,
        path: str = f"/consumers/images/{_TOKEN}",
        body: bytes = b"{}",
        attributes: dict[str, str] | None = None,
    ) -> int:
        """Send an event in binary mode; returns the status."""
        known = {"id": _EVENT, "source": _SOURCE, "type": "t", "specversion": "1.0"} | (attributes or {})
        headers = {f"ce-{name}": value for name, value in known.items() if value}
        return self.send(path, body, {"Content-Type": "application/json", **headers})

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        answer = httpx.post(
            f"http://127.0.0.1:{self.receiver.port}{path}", content=body, headers=headers, timeout=10
        )
        assert answer.content == b""
        return answer.status_code


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.receiver.close()


def test_an_event_of_ours_is_taken_in_both_modes(door: Door) -> None:
    assert door.post() == 202
    whole = {"id": _EVENT, "source": _SOURCE, "type": "t", "specversion": "1.0", "data": {"a": 1}}
    headers = {"Content-Type": "application/cloudevents+json"}
    assert door.send(f"/consumers/images/{_TOKEN}", json.dumps(whole).encode(), headers) == 202
    assert door.taken == [("images", _EVENT)] * 2


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/consumers/images",
        f"/consumers/images/{'cd' * 32}",
        f"/consumers/others/{_TOKEN}",
        f"/consumers/images/{_TOKEN}/",
        f"/consumers/images/{_TOKEN}?x=1",
        "/consumers/others/",
    ],
)
def test_nobody_without_the_token_gets_in(door: Door, path: str) -> None:
    assert door.post(path) == 403
    assert door.taken == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"source": "/somebody/else"},
        {"source": ""},
        {"id": "evt_'; DROP TABLE deliveries"},
        {"id": ""},
        {"id": "x" * 5_000},
        {"specversion": "9.9"},
        {"time": "yesterday"},
    ],
)
def test_what_is_no_event_of_ours_is_refused_for_good(door: Door, attributes: dict[str, str]) -> None:
    assert door.post(attributes=attributes) == 400
    assert door.taken == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe", b"{" * 30_000, b'{"specversion": 1}'])
def test_a_broken_structured_event_is_refused(door: Door, body: bytes) -> None:
    headers = {"Content-Type": "application/cloudevents+json"}
    assert door.send(f"/consumers/images/{_TOKEN}", body, headers) == 400
    assert door.taken == []


def test_a_large_event_is_refused_before_it_is_read(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.receiver.port), timeout=5) as client:
        request = (
            f"POST /consumers/images/{_TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n"
        )
        client.sendall(request.encode())
        assert client.recv(64).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("length", ["-1", "", "0x10", "1e3", "²"])
def test_a_body_of_no_known_length_is_refused(door: Door, length: str) -> None:
    with socket.create_connection(("127.0.0.1", door.receiver.port), timeout=5) as client:
        request = f"POST /consumers/images/{_TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        client.sendall(request.encode("latin-1"))
        assert client.recv(64).startswith(b"HTTP/1.1 411 ")


def test_other_methods_do_nothing(door: Door) -> None:
    address = f"http://127.0.0.1:{door.receiver.port}/consumers/images/{_TOKEN}"
    assert httpx.get(address, timeout=10).status_code == 501
    assert door.taken == []


def test_a_consumer_that_fails_lets_the_broker_come_again(door: Door) -> None:
    door.fault = RuntimeError("the registry does not answer")
    assert door.post() == 503
    door.fault = None
    assert door.post() == 202
