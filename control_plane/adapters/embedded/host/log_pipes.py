"""Reads instances' log pipes within a budget, so that a flood starves nobody.

Each wake-up takes a bounded number of bytes and lines; a pipe that still has
more rests for a moment. Its writer then blocks on a full pipe: the flood slows
its own author down.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

from control_plane.adapters.embedded.host.log_files import LogFiles, render
from control_plane.adapters.embedded.host.log_lines import LineSplitter, LogRecord, parse_line
from control_plane.adapters.embedded.host.loop import Loop, Timer

__all__ = ["LogPipe", "LogPipes"]

_READ_BYTES = 16384
_REST_S = 0.01
_TAIL_LINES = 50


class LogPipe:
    """One instance's pipe and the last lines that came out of it."""

    __slots__ = (
        "closed",
        "descriptor",
        "function",
        "instance",
        "on_record",
        "splitter",
        "tail",
        "timer",
        "version",
    )

    def __init__(self, descriptor: int, function: str, version: str, instance: str) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.function, self.version, self.instance = function, version, instance
        self.splitter = LineSplitter()
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        # A test run collects its own records instead of the function's file.
        self.on_record: Callable[[LogRecord], None] | None = None
        self.timer: Timer | None = None
        self.closed = False


class LogPipes:
    """All pipes of the host."""

    def __init__(self, loop: Loop, files: LogFiles) -> None:
        self._loop = loop
        self._files = files

    def watch(self, pipe: LogPipe) -> None:
        """Begin to read."""
        pipe.timer = None
        self._loop.watch(pipe.descriptor, lambda _events: self._readable(pipe))

    def finish(self, pipe: LogPipe) -> None:
        """Take what is left after the instance's end, bounded, and close."""
        if pipe.closed:
            return
        # A pipe holds 64 kB; descendants that still write must not keep us here.
        for _ in range(5):
            content = _read(pipe)
            if not content:
                break
            self._take(pipe, pipe.splitter.feed(content))
        self._take(pipe, pipe.splitter.flush())
        self._close(pipe)

    def note(self, pipe: LogPipe, level: str, message: str) -> None:
        """Add a line of the host's own."""
        record = LogRecord(message, level)
        pipe.tail.append(message[:500])
        if pipe.on_record is not None:
            pipe.on_record(record)
            return
        now = self._loop.clock.unix_ms()
        self._files.append_own(pipe.function, now, render(record, now, pipe.instance, pipe.version))

    def _readable(self, pipe: LogPipe) -> None:
        content = _read(pipe)
        if content == b"":
            self._take(pipe, pipe.splitter.flush())
            self._close(pipe)
            return
        if content is None:
            return
        self._take(pipe, pipe.splitter.feed(content))
        if len(content) == _READ_BYTES:
            self._loop.forget(pipe.descriptor)
            pipe.timer = self._loop.after(_REST_S, lambda: self.watch(pipe))

    def _take(self, pipe: LogPipe, lines: list[bytes]) -> None:
        self._take_records(pipe, [parse_line(line) for line in lines])

    def _take_records(self, pipe: LogPipe, records: list[LogRecord]) -> None:
        if not records:
            return
        pipe.tail.extend(record.message[:500] for record in records[-_TAIL_LINES:])
        if pipe.on_record is not None:
            for record in records:
                pipe.on_record(record)
            return
        now = self._loop.clock.unix_ms()
        lines = [render(record, now, pipe.instance, pipe.version) for record in records]
        self._files.append(pipe.function, now, lines)

    def _close(self, pipe: LogPipe) -> None:
        if pipe.timer is not None:
            pipe.timer.cancel()
        self._loop.forget(pipe.descriptor)
        os.close(pipe.descriptor)
        pipe.closed = True


def _read(pipe: LogPipe) -> bytes | None:
    """Return bytes, b"" at the end of the pipe, None when nothing is there now."""
    try:
        return os.read(pipe.descriptor, _READ_BYTES)
    except BlockingIOError:
        return None
