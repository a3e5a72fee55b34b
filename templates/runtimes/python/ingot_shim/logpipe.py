"""Everything that leaves by the log pipe: framed records and captured output.

Writing never waits: when the host does not read, records are dropped and
counted, and the next record that fits says how many. Formatting of log
records is in `logger`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
from contextvars import ContextVar

__all__ = ["FRAME_LIMIT", "current_request", "emit", "install"]

FRAME_LIMIT = 8_192
_MARK = "… [cut]"
# The id of the request that the present thread or task serves; empty outside one.
current_request: ContextVar[str] = ContextVar("ingot_request", default="")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=repr).encode


class _Pipe:
    """One non-blocking descriptor, shared by all threads."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._lock = threading.Lock()
        # The rest of a frame that the pipe took only in part; it goes first, or lines would mix.
        self._rest = b""
        self._dropped = 0

    def write(self, frame: bytes) -> None:
        """Write a frame, or count it as lost."""
        with self._lock:
            if self._rest:
                self._rest = self._push(self._rest)
            if self._dropped and self._send(
                _frame("", "warning", f"{self._dropped} log records were lost", {})
            ):
                self._dropped = 0
            if self._dropped or not self._send(frame):
                self._dropped += 1

    def _send(self, frame: bytes) -> bool:
        if self._rest:
            return False
        rest = self._push(frame)
        if len(rest) == len(frame):
            return False
        self._rest = rest
        return True

    def _push(self, data: bytes) -> bytes:
        """Write what fits; return what did not."""
        try:
            return data[os.write(self._descriptor, data) :]
        except OSError:
            return data


class _Output(io.RawIOBase):
    """What `sys.stdout` and `sys.stderr` write to: each line becomes a record."""

    def __init__(self, descriptor: int, level: str) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._level = level
        self._line = bytearray()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: object) -> int:
        text = bytes(data)  # type: ignore[call-overload]
        *lines, rest = (self._line + text).split(b"\n")
        for line in lines:
            self._emit(line)
        while len(rest) > FRAME_LIMIT:
            self._emit(rest[:FRAME_LIMIT])
            rest = rest[FRAME_LIMIT:]
        self._line = bytearray(rest)
        return len(text)

    def _emit(self, line: bytes | bytearray) -> None:
        if line:
            emit(self._level, line[: FRAME_LIMIT + 1].decode("utf-8", "replace"), {})


_pipe: _Pipe | None = None


def install(descriptor: int) -> None:
    """Send records, standard output and standard error to this pipe from now on."""
    global _pipe  # noqa: PLW0603 - the process has one log, and a fork replaces it.
    _pipe = _Pipe(descriptor)
    for number, name, level in ((1, "stdout", "info"), (2, "stderr", "error")):
        # C code writes to the descriptors themselves: raw lines, dropped by the kernel when full.
        if descriptor != number:
            os.dup2(descriptor, number)
        old = getattr(sys, name)
        if not isinstance(getattr(old, "buffer", None), _Output):
            raw = _Output(number, level)
            new = io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)  # type: ignore[type-var]
            setattr(sys, name, new)
            setattr(sys, f"__{name}__", new)


def emit(level: str, message: str, fields: dict[str, object]) -> None:
    """Write one record of the present request; lost when no log is installed."""
    if _pipe is not None:
        _pipe.write(_frame(current_request.get(), level, message, fields))


def _frame(request_id: str, level: str, message: str, fields: dict[str, object]) -> bytes:
    record: dict[str, object] = {"r": request_id, "l": level, "m": message[:FRAME_LIMIT]}
    if fields:
        record["f"] = fields
    frame = _line(record)
    if len(frame) <= FRAME_LIMIT:
        return frame
    # Fields go first, then the message is shortened until it fits with its escapes.
    record.pop("f", None)
    size = FRAME_LIMIT
    while len(frame) > FRAME_LIMIT:
        record["m"] = message[:size] + _MARK
        frame = _line(record)
        size = size * 3 // 4
    return frame


def _line(record: dict[str, object]) -> bytes:
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        return _encode(record).encode("utf-8", "replace") + b"\n"
    # Fields are the author's objects: what JSON cannot hold must not lose the message.
    return _encode({**record, "f": {"unloggable": True}}).encode("utf-8", "replace") + b"\n"
