"""Addresses of names outside the cluster, kept fresh by threads that may wait for DNS.

The controller only reads what is known at the moment; nobody waits here for an answer.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

__all__ = ["Resolver", "look_up"]

# What an answer's own lifetime is cannot be seen through the system's resolver.
FRESH_S = 30.0
THREADS = 4


def look_up(name: str) -> tuple[str, ...]:
    """Return a name's addresses as the system's resolver knows them; none if it knows none."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(sorted({str(each[4][0]) for each in found}))


class Resolver:
    """Resolves the wanted names again and again."""

    def __init__(
        self,
        changed: Callable[[], None],
        ask: Callable[[str], tuple[str, ...]] = look_up,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changed = changed
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, ...]] = {}
        self._asked: dict[str, float] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="resolve")

    def known(self) -> Mapping[str, tuple[str, ...]]:
        """Return what is known."""
        with self._lock:
            return dict(self._known)

    def want(self, names: Iterable[str]) -> None:
        """Keep exactly these names fresh."""
        now = self._clock()
        with self._lock:
            wanted = set(names)
            for gone in self._asked.keys() - wanted:
                self._known.pop(gone, None)
                del self._asked[gone]
            stale = [name for name in wanted if self._asked.get(name, -FRESH_S) <= now - FRESH_S]
            self._asked.update(dict.fromkeys(stale, now))
        for name in stale:
            self._pool.submit(self._resolve, name)

    def _resolve(self, name: str) -> None:
        addresses = self._ask(name)
        with self._lock:
            # A resolver that does not answer takes nothing away.
            if name not in self._asked or not addresses or self._known.get(name) == addresses:
                return
            self._known[name] = addresses
        self._changed()
