"""Gives the disk blocks of counted log lines back while the log stays open for appending.

Rotation would need every writer to reopen the file; a hole leaves its length
and the writers' descriptor alone.
"""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["HolePuncher"]

_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02
_BLOCK: Final = 4096
# Fewer, larger holes: each call is a change of the file's extents.
_STEP: Final = 4 * 1024 * 1024


class HolePuncher:
    """Punches behind a position; a filesystem that cannot is left alone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._punched = 0
        self._call = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)

    def punch(self, counted: int) -> bool:
        """Free what lies before `counted`, but for the last block, which proves which file this is."""
        end = (counted // _BLOCK - 1) * _BLOCK
        if self._call is None or end - self._punched < _STEP:
            return False
        start, self._punched = self._punched, end
        arguments = (ctypes.c_long(start), ctypes.c_long(end - start))
        if self._call(self._descriptor, _PUNCH_HOLE | _KEEP_SIZE, *arguments) != 0:
            self._call = None
            return False
        return True
