"""Callers that never retry and never stop: some keep their connection, some open one for each call.

Unlike `load`, which goes as fast as it can, they call at a pace of their own and
keep a whole account of each call, so that an answer can be held against what was
released at that moment, and a ledger against what was counted.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Call", "Callers", "Shape"]

# How long a caller waits when nobody listens at all.
_NOBODY_S = 0.2


@dataclass(frozen=True, slots=True)
class Shape:
    """How one caller calls."""

    name: str
    path: str
    method: str = "POST"
    # Keeps its connection; otherwise each call opens one.
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """One call, from the first byte sent to the last byte read. Times are Unix seconds."""

    shape: Shape
    began: float
    ended: float
    # 0 when no whole answer came; `error` then says why.
    status: int
    usage_id: str = ""
    body: str = ""
    error: str = ""

    @property
    def good(self) -> bool:
        """Say whether a 2xx was read to its end."""
        return 200 <= self.status < 300

    @property
    def connected(self) -> bool:
        """Say whether somebody listened."""
        return not self.error.startswith("ConnectionRefusedError")

    @property
    def milliseconds(self) -> float:
        """Return how long it took."""
        return (self.ended - self.began) * 1000


class Callers:
    """One thread for each shape, calling until the block ends."""

    def __init__(self, port: int, key: str, shapes: Sequence[Shape], *, pause_s: float) -> None:
        """`pause_s` is the rest after each answer; `calls` grows while they call."""
        self.calls: list[Call] = []
        self._port, self._key, self._pause_s = port, key, pause_s
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(shape,), daemon=True) for shape in shapes]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def failures(self) -> list[Call]:
        """Return the calls that did not end in a whole 2xx."""
        return [call for call in self.calls if not call.good]

    def _run(self, shape: Shape) -> None:
        connection = self._connection()
        while not self._ended.is_set():
            call = self._call(connection, shape)
            self.calls.append(call)
            if call.error or not shape.keep:
                connection.close()
            self._ended.wait(self._pause_s if call.connected else _NOBODY_S)
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=45)

    def _call(self, connection: http.client.HTTPConnection, shape: Shape) -> Call:
        headers = {"X-Api-Key": self._key}
        body = None
        if shape.method == "POST":
            headers["Content-Type"], body = "application/json", b'{"name":"a"}'
        began = time.time()
        try:
            connection.request(shape.method, shape.path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return Call(shape, began, time.time(), 0, error=f"{type(error).__name__}: {error}"[:200])
        return Call(
            shape, began, time.time(), answer.status, answer.getheader("X-Ingot-Usage-Id") or "", text
        )
