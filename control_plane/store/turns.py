"""Whose turn it is to write to a SQLite file: one transaction at a time, of all threads and processes.

SQLite itself lets the second writer sleep and look again, ever more rarely, for up to a tenth of a
second, while others pass it by. Here threads wait for a lock, and processes for one that the kernel
gives back when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from control_plane.errors import Unavailable

__all__ = ["Turns"]

# Longer than the database itself waits for somebody who does not take turns.
_LONGEST_WAIT_S: Final = 10.0
# A change takes a few milliseconds, so whoever waits for another process looks this often.
_LOOK_S: Final = 0.000_5


class Turns:
    """The turns of one database file, as one process sees them."""

    def __init__(self, database: Path | None) -> None:
        """`database` is None for one in memory, which no other process has."""
        self._threads = Lock()
        self._file: int | None = None
        if database is not None:
            self._file = _open(Path(f"{database}-turn"))
            weakref.finalize(self, os.close, self._file)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wait for the turn and hold it. Raises Unavailable when it does not come in time."""
        until = time.monotonic() + _LONGEST_WAIT_S
        if not self._threads.acquire(timeout=_LONGEST_WAIT_S):
            raise _late()
        try:
            self._take(until)
            try:
                yield
            finally:
                self._give()
        finally:
            self._threads.release()

    def _take(self, until: float) -> None:
        while self._file is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise _late() from None
                time.sleep(_LOOK_S)
            else:
                return

    def _give(self) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _open(path: Path) -> int:
    # To lock it one needs no right to write, so whoever makes it first keeps nobody out.
    return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _late() -> Unavailable:
    return Unavailable("Too many changes wait for the database.", hint="Try again in a moment.")
