"""Follows one append-only log from a stored position, and notices when it is not that log any more.

Reads bytes and knows lines; what a line means is decided elsewhere. A file that
was replaced, cut or emptied is never read as if nothing had happened.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from control_plane.errors import Conflict
from control_plane.meter.holes import HolePuncher
from control_plane.store.usage_intake import LogMark

__all__ = ["Chunk", "LogChanged", "LogFollower"]

# Twice what the gateway writes at most; more without a newline is damage.
_LONGEST_PIECE: Final = 128 * 1024
# Holds at least the last line's id as a rule, and is less than what the hole puncher spares.
_TAIL: Final = 4096


class LogChanged(Conflict):
    """The log is not the file that was counted so far."""

    code = "log_changed"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines (or damage without a newline) that begin at `position`."""

    position: int
    data: bytes
    # Bytes of a hole that were skipped before `position`.
    hole: int = 0

    @property
    def end(self) -> int:
        """Return the position after the last byte."""
        return self.position + len(self.data)


class LogFollower:
    """One log. The caller moves it on only after what was read is stored."""

    def __init__(self, source: str, path: Path, mark: LogMark | None) -> None:
        self.source = source
        self.mark = mark
        self._path = path
        self._descriptor = -1
        self._puncher: HolePuncher | None = None

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, limit: int) -> Chunk | None:
        """Return what follows the mark, up to `limit` bytes, or None when there is no whole line.

        Raises LogChanged when the file was replaced, truncated or removed.
        """
        if not self._open():
            return None
        position = self._checked_position()
        data = os.pread(self._descriptor, limit, position)
        hole = 0
        if data[:1] == b"\0":
            hole = self._data_after(position) - position
            data = os.pread(self._descriptor, limit, position + hole)
        cut = data.rfind(b"\n") + 1
        if cut == 0:
            # An unfinished line is left for later, unless nothing could ever finish it.
            cut = len(data) if len(data) >= min(_LONGEST_PIECE, limit) else 0
        if cut == 0:
            return None
        return Chunk(position + hole, data[:cut], hole)

    def mark_after(self, chunk: Chunk, lines: int) -> LogMark:
        """Return the mark that stands for `chunk` being counted."""
        counted = (self.mark.lines if self.mark else 0) + lines
        return LogMark(self.source, chunk.end, counted, self._tail_digest(chunk.end))

    def settle(self) -> None:
        """Make the log durable as far as it was written.

        Without this a power cut could leave a position that is beyond the log's end.
        """
        os.fdatasync(self._descriptor)

    def advance(self, mark: LogMark) -> None:
        """Move on, as what was read is durable, and free the disk behind."""
        self.mark = mark
        if self._puncher:
            self._puncher.punch(mark.position)

    def behind(self) -> int:
        """Return the bytes that are not counted yet."""
        if self._descriptor < 0:
            return 0
        return max(os.fstat(self._descriptor).st_size - (self.mark.position if self.mark else 0), 0)

    def _open(self) -> bool:
        if self._descriptor >= 0:
            return True
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            if self.mark and self.mark.position:
                raise self._changed("is missing") from None
            return False
        self._puncher = HolePuncher(self._descriptor)
        return True

    def _checked_position(self) -> int:
        status = os.fstat(self._descriptor)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            raise self._changed("was removed") from None
        if (named.st_dev, named.st_ino) != (status.st_dev, status.st_ino):
            raise self._changed("was replaced while it was read")
        mark = self.mark
        if mark is None or mark.position == 0:
            return 0
        if status.st_size < mark.position:
            raise self._changed(f"was cut to {status.st_size} bytes")
        if self._tail_digest(mark.position) != mark.tail_digest:
            raise self._changed("is another file than the one counted so far")
        return mark.position

    def _tail_digest(self, position: int) -> bytes:
        return sha256(os.pread(self._descriptor, min(_TAIL, position), max(position - _TAIL, 0))).digest()

    def _data_after(self, position: int) -> int:
        try:
            return os.lseek(self._descriptor, position, os.SEEK_DATA)
        except OSError:
            return position

    def _changed(self, what: str) -> LogChanged:
        counted = self.mark.position if self.mark else 0
        return LogChanged(
            f"The log {self._path} {what}; it was counted up to byte {counted}.",
            hint="Put the file back, or accept the loss as docs/metering.md says. "
            "The gateway answers no calls until then.",
        )
