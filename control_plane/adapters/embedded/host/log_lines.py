"""Turns what comes out of an instance's log pipe into records. Pure.

Everything in the pipe is the author's: a frame is believed for its message,
never for its instance or version, and may hold any bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

__all__ = ["LineSplitter", "LogRecord", "parse_line"]

LINE_BYTES = 8192
_LEVELS = {"debug", "info", "warning", "error", "critical"}
_CUT = " …[cut]"


@dataclass(frozen=True, slots=True)
class LogRecord:
    """What one line says."""

    message: str
    level: str = "info"
    request_id: str = ""
    fields: dict[str, Any] | None = None


class LineSplitter:
    """Collects bytes of one pipe into lines; holds at most one line of the longest size."""

    __slots__ = ("_partial", "_skipping")

    def __init__(self) -> None:
        self._partial = b""
        # The rest of a line that was too long and has been given out already.
        self._skipping = False

    def feed(self, content: bytes) -> list[bytes]:
        """Return the lines that `content` completes, without their newline."""
        *complete, rest = (self._partial + content).split(b"\n")
        if complete and self._skipping:
            del complete[0]
            self._skipping = False
        elif self._skipping:
            rest = b""
        self._partial = rest
        if len(rest) > LINE_BYTES:
            complete.append(rest[: LINE_BYTES + 1])
            self._partial, self._skipping = b"", True
        return complete

    def flush(self) -> list[bytes]:
        """Return what is left of an unfinished line, at the end of the pipe."""
        rest, self._partial, self._skipping = self._partial, b"", False
        return [rest] if rest else []


def parse_line(line: bytes) -> LogRecord:
    """Return the record of a framed or raw line."""
    if line.startswith(b"{") and len(line) <= LINE_BYTES:
        record = _framed(line)
        if record is not None:
            return record
    text = line[:LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
    return LogRecord(text + _CUT if len(line) > LINE_BYTES else text)


def _framed(line: bytes) -> LogRecord | None:
    try:
        frame = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(frame, dict) or not isinstance(frame.get("m"), str) or "r" not in frame:
        return None
    level, fields = frame.get("l"), frame.get("f")
    return LogRecord(
        message=frame["m"],
        level=level if isinstance(level, str) and level in _LEVELS else "info",
        request_id=str(frame["r"])[:128],
        fields=fields if isinstance(fields, dict) and fields else None,
    )
