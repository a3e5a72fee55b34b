"""1,000 open console streams, or 1,000 clients that send slowly, beside people who use the API.

The same reads at the same rate, in turns: alone, beside streams, beside slow
clients. Turns alternate, so that whatever else the machine does meets all three.
"""

from __future__ import annotations

import multiprocessing
import resource
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing.synchronize import Event
from typing import Final

from tests.bench.open_loop import Results, Work, run_open_loop
from tests.bench.report import Check, Report, Result
from tests.support.system import System, running_system

__all__ = ["run"]

_PATHS: Final = ("/functions", "/projects", "/members", "/reviews", "/events?limit=20", "/me")
_ALONE, _STREAMS, _SLOW = "alone", "beside open streams", "beside slow clients"


def run(report: Report, *, quick: bool = False) -> None:
    """Compare the three."""
    crowd, rounds, seconds = (100, 1, 4.0) if quick else (1_000, 3, 12.0)
    _allow_descriptors()
    taken: dict[str, list[Results]] = defaultdict(list)
    with running_system() as system:
        for _ in range(rounds):
            for name, beside in (
                (_ALONE, nullcontext),
                (_STREAMS, lambda: _streams(system, crowd)),
                (_SLOW, lambda: _slow_clients(system, crowd)),
            ):
                taken[name].append(_round(system, beside, seconds))
    for name, results in taken.items():
        latencies = [one for some in results for one in some.all]
        report.results.append(
            Result.of(f"reads {name}", latencies, sum(some.errors for some in results), crowd=crowd)
        )
    alone, *others = report.results
    for other in others:
        report.checks += [
            Check.at_most(f"{other.side}: median against alone", other.p50 / alone.p50, 1.2),
            Check.at_most(f"{other.side}: p95 against alone", other.p95 / alone.p95, 1.2),
            Check.at_most(f"{other.side}: errors", other.errors, 0),
        ]


def _round(system: System, beside: Callable[[], AbstractContextManager[None]], seconds: float) -> Results:
    headers = {"Authorization": system.people["owner"].http.headers["authorization"]}

    def plan(number: int) -> Work:
        path = _PATHS[number % len(_PATHS)]
        return lambda connection: (path, connection.send("GET", f"/api/v1{path}", headers))

    with beside():
        return run_open_loop(system.console_port, plan, rate=60, seconds=seconds, callers=16)


@contextmanager
def _streams(system: System, count: int) -> Iterator[None]:
    """Hold streams open, each proved to be one by its first bytes."""
    token = system.people["owner"].http.headers["authorization"]
    head = f"GET /api/v1/stream HTTP/1.1\r\nHost: console\r\nAuthorization: {token}\r\n\r\n".encode()
    opened: list[socket.socket] = []
    try:
        opened += (_connected(system.console_port, head) for _ in range(count))
        for one in opened:
            first = one.recv(12)
            assert first == b"HTTP/1.1 200", first
        yield
    finally:
        for one in opened:
            one.close()


@contextmanager
def _slow_clients(system: System, count: int) -> Iterator[None]:
    """Hold requests open whose heads come byte by byte and never end.

    They live in a process of their own: beside the callers they would hold up
    the callers themselves, and the API would be blamed for it.
    """
    spawning = multiprocessing.get_context("spawn")
    ready, ended = spawning.Event(), spawning.Event()
    process = spawning.Process(target=_drip, args=(system.console_port, count, ready, ended), daemon=True)
    process.start()
    try:
        assert ready.wait(60), "the slow clients did not come"
        yield
    finally:
        ended.set()
        process.join(30)


def _drip(port: int, count: int, ready: Event, ended: Event) -> None:
    _allow_descriptors()
    head = b"GET /api/v1/me HTTP/1.1\r\nHost: c"
    opened = [_connected(port, head) for _ in range(count)]
    ready.set()
    while not ended.wait(1):
        for place, one in enumerate(opened):
            try:
                one.send(b"c")
            except OSError:
                # The gateway lost its patience; a slow client comes back at once.
                opened[place] = _connected(port, head)


def _connected(port: int, said: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=20)
    made.sendall(said)
    return made


def _allow_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4_096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(8_192, hard), hard))
