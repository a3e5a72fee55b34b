"""The slot table: shared memory in which an instance says what it is doing.

The format is in docs/contracts.md. The instance may write anything here, so
every value is a claim: the host bounds deadlines by what it saw itself.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["DRAINING", "Busy", "SlotTable"]

_MAGIC = 0x696E676F
_SLOT_BYTES = 64
_HEADER = struct.Struct("<IIQQI")
_SLOT = struct.Struct("<IIQQ")
_BUSY = 1
DRAINING = 1


@dataclass(frozen=True, slots=True)
class Busy:
    """One slot that is in use."""

    slot: int
    sequence: int
    start_ns: int
    deadline_ns: int


class SlotTable:
    """The host's view of one instance's table."""

    __slots__ = ("_memory", "descriptor", "slots")

    def __init__(self, descriptor: int, slots: int) -> None:
        self.descriptor = descriptor
        self.slots = slots
        self._memory = mmap.mmap(descriptor, (slots + 1) * _SLOT_BYTES, mmap.MAP_SHARED, mmap.PROT_READ)

    @classmethod
    def create(cls, slots: int) -> SlotTable:
        """Make an empty table. Its size is sealed: a shrunk one would kill the reader by SIGBUS."""
        descriptor = os.memfd_create("slots", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, (slots + 1) * _SLOT_BYTES)
        os.pwrite(descriptor, _HEADER.pack(_MAGIC, slots, 0, 0, 0), 0)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        return cls(descriptor, slots)

    @classmethod
    def adopt(cls, descriptor: int) -> SlotTable:
        """Map a table from before a restart. Raises ValueError when it is none of ours."""
        size = os.fstat(descriptor).st_size
        if not fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            raise ValueError("the slot table is not sealed")
        if size < 2 * _SLOT_BYTES or size % _SLOT_BYTES:
            raise ValueError(f"a slot table cannot have {size} bytes")
        return cls(descriptor, size // _SLOT_BYTES - 1)

    @property
    def served(self) -> int:
        """Return how many requests the instance claims to have answered."""
        return int(_HEADER.unpack_from(self._memory)[2])

    @property
    def last_active_ns(self) -> int:
        """Return when the instance claims to have last begun or ended a request."""
        return int(_HEADER.unpack_from(self._memory)[3])

    @property
    def draining(self) -> bool:
        """Say whether the instance claims to accept nothing more."""
        return bool(_HEADER.unpack_from(self._memory)[4] & DRAINING)

    def busy(self) -> Iterator[Busy]:
        """Yield the slots in use."""
        for slot in range(1, self.slots + 1):
            state, sequence, start, deadline = _SLOT.unpack_from(self._memory, slot * _SLOT_BYTES)
            if state == _BUSY:
                yield Busy(slot, sequence, start, deadline)

    def close(self) -> None:
        """Unmap and close."""
        self._memory.close()
        os.close(self.descriptor)
