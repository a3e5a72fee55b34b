"""A closed-loop HTTP load: raw sockets and epoll, so that the client costs little of the machine.

Speaks just enough HTTP/1.1 for answers with Content-Length or chunks. It keeps
its own account of what was fully answered, which the ledger checks rely on.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Load", "Outcome", "request"]


def request(
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    method: str = "POST",
    close: bool = False,
) -> bytes:
    """Return one HTTP request as bytes."""
    said = {"Host": "functions", "Content-Length": str(len(body)), **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(slots=True)
class Outcome:
    """What a load saw."""

    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    # Connection refused, reset, cut in the middle of an answer, or silent for too long.
    broken: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    # X-Ingot-Usage-Id of every fully read answer and the Unix time of its last byte, when asked for.
    usage_ids: list[str] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """Return how many calls did not end in a 2xx."""
        refused = sum(count for status, count in self.statuses.items() if not 200 <= status < 300)
        return refused + sum(self.broken.values())


class _Client:
    """One connection at a time, one request at a time."""

    __slots__ = ("began", "buffer", "needed", "sent", "socket")

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.buffer = bytearray()
        self.needed = -1
        self.began = 0.0
        self.sent = b""


class Load:
    """`clients` closed-loop clients against one TCP address or Unix path."""

    def __init__(
        self,
        address: tuple[str, int] | str,
        make_request: Callable[[int], bytes],
        *,
        clients: int = 1,
        keep_alive: bool = True,
        timeout_s: float = 40.0,
        collect_ids: bool = False,
    ) -> None:
        """`make_request` gets a running number and returns the bytes to send."""
        self._address, self._make = address, make_request
        self._clients, self._keep_alive = clients, keep_alive
        self._timeout_s, self._collect = timeout_s, collect_ids

    def run(
        self, *, seconds: float = 1e9, calls: int = 10**12, until: Callable[[], bool] | None = None
    ) -> Outcome:
        """Run until the time, the number of calls or `until` says so; calls begun are finished."""
        outcome, selector = Outcome(), selectors.DefaultSelector()
        began = time.perf_counter()
        started = 0
        busy: set[_Client] = set()

        def more() -> bool:
            return (
                started < calls
                and time.perf_counter() - began < seconds
                and not (until is not None and started % 64 == 0 and until())
            )

        idle = [_Client() for _ in range(self._clients)]
        while True:
            while idle and more():
                client = idle.pop()
                started += 1
                if self._begin(client, started, selector, outcome):
                    busy.add(client)
                else:
                    idle.append(client)
            if not busy:
                break
            for key, _ in selector.select(0.2):
                client = key.data
                if self._take(client, selector, outcome):
                    busy.discard(client)
                    idle.append(client)
            now = time.perf_counter()
            for client in [client for client in busy if now - client.began > self._timeout_s]:
                self._drop(client, selector)
                outcome.broken["silent"] += 1
                busy.discard(client)
                idle.append(client)
        outcome.seconds = time.perf_counter() - began
        for client in idle:
            self._drop(client, selector)
        selector.close()
        return outcome

    def _begin(
        self, client: _Client, number: int, selector: selectors.BaseSelector, outcome: Outcome
    ) -> bool:
        client.began, client.sent = time.perf_counter(), self._make(number)
        client.buffer.clear()
        client.needed = -1
        try:
            if client.socket is None:
                self._connect(client, selector)
            assert client.socket is not None
            client.socket.sendall(client.sent)
        except OSError as error:
            self._drop(client, selector)
            outcome.broken[type(error).__name__] += 1
            return False
        return True

    def _connect(self, client: _Client, selector: selectors.BaseSelector) -> None:
        unix = isinstance(self._address, str)
        connection = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM)
        connection.settimeout(self._timeout_s)
        if not unix:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.socket = connection
        connection.connect(self._address)
        selector.register(connection, selectors.EVENT_READ, client)

    def _take(self, client: _Client, selector: selectors.BaseSelector, outcome: Outcome) -> bool:
        """Read what there is; True when the call has ended, well or badly."""
        assert client.socket is not None
        try:
            data = client.socket.recv(1 << 16)
        except OSError as error:
            outcome.broken[type(error).__name__] += 1
            self._drop(client, selector)
            return True
        client.buffer += data
        if client.needed < 0:
            self._read_head(client)
        complete = 0 <= client.needed <= len(client.buffer) or (
            client.needed == -2 and client.buffer.endswith(b"0\r\n\r\n")
        )
        if not complete and data:
            return False
        # Bytes after the end or an end without Content-Length are read as a broken answer.
        if not complete:
            outcome.broken["cut" if client.buffer else "closed"] += 1
            self._drop(client, selector)
            return True
        outcome.latencies_ms.append((time.perf_counter() - client.began) * 1000)
        head = bytes(client.buffer[: client.buffer.index(b"\r\n\r\n")])
        outcome.statuses[int(head[9:12])] += 1
        if self._collect:
            outcome.usage_ids.append(_header(head, b"x-ingot-usage-id"))
            outcome.answered_at.append(time.time())
        if not self._keep_alive or b"connection: close" in head.lower():
            self._drop(client, selector)
        return True

    def _read_head(self, client: _Client) -> None:
        end = client.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(client.buffer[:end])
        length = _header(head, b"content-length")
        if length:
            client.needed = end + 4 + int(length)
        elif _header(head, b"transfer-encoding"):
            client.needed = -2

    def _drop(self, client: _Client, selector: selectors.BaseSelector) -> None:
        if client.socket is not None:
            if client.socket.fileno() in selector.get_map():
                selector.unregister(client.socket)
            client.socket.close()
            client.socket = None


def _header(head: bytes, name: bytes) -> str:
    """Return a header's value from a response head; empty when absent."""
    lowered = head.lower()
    at = lowered.find(b"\r\n" + name + b":")
    if at < 0:
        return ""
    begin = at + len(name) + 3
    end = head.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else len(head)].decode("latin-1").strip()
