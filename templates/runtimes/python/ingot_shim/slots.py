"""Writes the slot table that the host reads: which request runs since when and until when.

The layout is in the contracts between the processes. A slot's deadline is
written before its state, each as one aligned 8-byte store, so that the host
never sees a new request with an old deadline.
"""

from __future__ import annotations

import mmap
import os
import threading
import time

__all__ = ["Slot", "SlotTable"]

_MAGIC = 0x696E676F
_SLOT_BYTES = 64
_DRAINING = 1


class SlotTable:
    """The shared table; `slot(k)` for k from 1."""

    def __init__(self, descriptor: int, wanted: int) -> None:
        size = os.fstat(descriptor).st_size
        count = size // _SLOT_BYTES - 1
        if count < wanted:
            raise ValueError(f"the slot table has room for {max(count, 0)} requests, {wanted} are needed")
        self._map = mmap.mmap(descriptor, size)
        self._words = memoryview(self._map).cast("Q")
        self._halves = memoryview(self._map).cast("I")
        self._lock = threading.Lock()
        self._served = 0
        self._halves[1] = count
        self._words[2] = time.monotonic_ns()
        self._halves[0] = _MAGIC

    def slot(self, number: int) -> Slot:
        """Return the writer of one slot."""
        return Slot(self, self._words, number)

    def draining(self) -> None:
        """Say that no further request will be accepted."""
        self._halves[6] = _DRAINING

    def count(self) -> None:
        """Count one request as served, now."""
        with self._lock:
            self._served += 1
            self._words[1] = self._served
            self._words[2] = time.monotonic_ns()


class Slot:
    """Writes one slot; used by one request at a time."""

    __slots__ = ("_base", "_sequence", "_table", "_words")

    def __init__(self, table: SlotTable, words: memoryview, number: int) -> None:
        self._table = table
        self._words = words
        self._base = number * (_SLOT_BYTES // 8)
        self._sequence = 0

    def begin(self, timeout_ns: int) -> None:
        """Mark the slot busy with a new request that must end within the time."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        self.extend(timeout_ns)

    def extend(self, timeout_ns: int) -> None:
        """Give the same request a new start and deadline: its next phase begins."""
        words, base = self._words, self._base
        now = time.monotonic_ns()
        # The later deadline goes first: between the two stores the slot is never overdue.
        words[base + 2] = now + timeout_ns
        words[base + 1] = now
        words[base] = 1 | self._sequence << 32

    def end(self, *, served: bool) -> None:
        """Free the slot, and count the request if it was one."""
        self._words[self._base] = self._sequence << 32
        if served:
            self._table.count()
