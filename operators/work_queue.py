"""Keys that have to be looked at: each once, never by two workers at a time, later again after trouble."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from typing import Final

__all__ = ["Key", "WorkQueue"]

# (what kind of thing, namespace, name)
Key = tuple[str, str, str]

_FIRST_S: Final = 0.2
_LONGEST_S: Final = 60.0


class WorkQueue:
    """Safe for several threads. A key that is added while it is worked on comes again afterwards."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._change = threading.Condition()
        # (due, key); a key may stand here several times, the earliest counts.
        self._heap: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}
        self._working: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._closed = False

    def add(self, key: Key, after_s: float = 0.0) -> None:
        """Have the key looked at, at once or after a time; an earlier wish stays."""
        with self._change:
            due = self._monotonic() + after_s
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._heap, (due, key))
                self._change.notify()

    def take(self, wait_s: float = 1.0) -> Key | None:
        """Return a key that is due, to be given back by `done` or `failed`; None when the time is over."""
        end = self._monotonic() + wait_s
        with self._change:
            while not self._closed:
                now = self._monotonic()
                key, until = self._next(now)
                if key is not None:
                    self._working.add(key)
                    del self._due[key]
                    return key
                if now >= end:
                    return None
                self._change.wait(min(end, until) - now)
        return None

    def done(self, key: Key) -> None:
        """Say that the look went well."""
        with self._change:
            self._failures.pop(key, None)
            self._back(key)

    def failed(self, key: Key) -> float:
        """Say that it did not: it comes again after a growing time, which is returned."""
        with self._change:
            count = self._failures.get(key, 0)
            self._failures[key] = count + 1
            self._back(key)
        delay = min(_FIRST_S * float(2 ** min(count, 20)), _LONGEST_S)
        self.add(key, delay)
        return delay

    def close(self) -> None:
        """Let every taker end."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _back(self, key: Key) -> None:
        self._working.discard(key)
        if key in self._due:
            heapq.heappush(self._heap, (self._due[key], key))
            self._change.notify()

    def _next(self, now: float) -> tuple[Key | None, float]:
        """Return a due key that nobody works on, else when to look again."""
        while self._heap:
            due, key = self._heap[0]
            if self._due.get(key) != due or key in self._working:
                # Outdated, or put back by whoever works on it.
                heapq.heappop(self._heap)
                continue
            if due > now:
                return None, due
            heapq.heappop(self._heap)
            return key, now
        return None, float("inf")
