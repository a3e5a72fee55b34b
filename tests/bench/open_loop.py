"""An open-loop load: requests leave at their planned times, whether earlier ones were answered or not.

Latency counts from the planned time, so that a server that stalls cannot hide
it by slowing its callers down.
"""

from __future__ import annotations

import http.client
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Answer", "Connection", "Results", "Work", "run_open_loop"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Status 0 is no whole answer."""

    status: int
    body: bytes = b""
    etag: str = ""


class Connection:
    """A kept connection that is opened anew after a fault."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._http: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        """Send one request and read its whole answer."""
        if self._http is None:
            self._http = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            self._http.request(method, path, body, headers)
            answer = self._http.getresponse()
            return Answer(answer.status, answer.read(), answer.getheader("ETag") or "")
        except (OSError, http.client.HTTPException):
            self._http.close()
            self._http = None
            return Answer(0)


@dataclass(slots=True)
class Results:
    """Latencies by name in milliseconds, and what was not a 2xx."""

    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def all(self) -> list[float]:
        """Every latency."""
        return [one for some in self.latencies.values() for one in some]

    @property
    def errors(self) -> int:
        """How many were not answered with a 2xx."""
        return sum(len(some) for some in self.faults.values())


Work = Callable[[Connection], tuple[str, Answer]]


def run_open_loop(
    port: int, plan: Callable[[int], Work], *, rate: float, seconds: float, callers: int = 64
) -> Results:
    """Do `plan(number)` at `rate` a second; each piece of work sends one request and names it."""
    results, waiting = Results(), queue.SimpleQueue[tuple[float, Work] | None]()
    lock = threading.Lock()

    def call() -> None:
        connection = Connection(port)
        while (planned := waiting.get()) is not None:
            name, answer = planned[1](connection)
            taken = (time.perf_counter() - planned[0]) * 1000
            with lock:
                results.latencies[name].append(taken)
                if not 200 <= answer.status < 300:
                    results.faults[name].append(f"{answer.status} {answer.body[:200]!r}")

    threads = [threading.Thread(target=call, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        at = began + number / rate
        if (pause := at - time.perf_counter()) > 0:
            time.sleep(pause)
        waiting.put((at, plan(number)))
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join(120)
    return results
