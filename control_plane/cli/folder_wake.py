"""Waits until something in a folder is written, by the kernel's inotify: no look is too early or too late.

It says that something happened, never what; `folder_watch` finds that out.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from control_plane.cli.archives import is_left_out

__all__ = ["FolderWake"]

_CREATE, _IS_DIR = 0x100, 0x40000000
# Written and closed, moved away and here, created, deleted.
_MASK: Final = 0x08 | 0x40 | 0x80 | _CREATE | 0x200
_EVENT: Final = struct.Struct("iIII")
# Where the kernel gives no watches.
_LOOK_S: Final = 0.05


class FolderWake:
    """Wakes its caller when a file below the folder was written, came or went."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._cover()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def wait(self, seconds: float) -> None:
        """Return when something was written, or after `seconds`."""
        if self._descriptor < 0:
            time.sleep(min(seconds, _LOOK_S))
            return
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._descriptor], [], [], left)[0] and self._happened():
                return

    def _happened(self) -> bool:
        """Take what is there; say whether any of it is worth a look."""
        masks = list(_masks(os.read(self._descriptor, 1 << 16)))
        if any(mask & _IS_DIR for mask in masks):
            self._cover()
        # A file that was just made is empty; that it was written is told apart.
        return any(mask & _IS_DIR or not mask & _CREATE for mask in masks)

    def _cover(self) -> None:
        """Watch every folder; watching one twice changes nothing."""
        for parent, folders, _ in os.walk(self._folder):
            folders[:] = [name for name in folders if not is_left_out(name)]
            if self._descriptor >= 0 and self._watch(parent) < 0:
                # Too many watches: look from time to time instead.
                self._close()

    def _watch(self, folder: str) -> int:
        found: int = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _MASK)
        # A folder that is gone by now needs no watch.
        return 0 if found < 0 and not os.path.isdir(folder) else found  # noqa: PTH112

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _masks(content: bytes) -> Iterator[int]:
    offset = 0
    while offset < len(content):
        _, mask, _, length = _EVENT.unpack_from(content, offset)
        yield mask
        offset += _EVENT.size + length
