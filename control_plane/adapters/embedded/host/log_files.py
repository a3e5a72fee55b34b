"""Day files of functions' logs: `<folder>/<function>/<YYYY-MM-DD>.jsonl`, capped.

A file over its cap says so once and takes nothing more of the function's that
day, only what the host itself says of it, up to a reserve; over the cap of all
files together the oldest days go first. Files are opened for each
batch: thousands of functions must not hold a descriptor each.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from control_plane.adapters.embedded.host.log_lines import LogRecord

__all__ = ["LogFiles", "overdue_logs", "render"]

_log = logging.getLogger(__name__)


def render(record: LogRecord, ts_ms: int, instance: str, version: str) -> bytes:
    """Return one JSON line. Escapes keep control characters and lone surrogates harmless."""
    line = {
        "ts": _rfc3339(ts_ms),
        "instance": instance,
        "version": version,
        "request_id": record.request_id,
        "level": record.level,
        "message": record.message,
    }
    if record.fields:
        line["fields"] = record.fields  # type: ignore[assignment]
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


class LogFiles:
    """Appends batches of lines and keeps both caps."""

    def __init__(self, folder: Path, day_bytes: int, total_bytes: int, days: int = 0) -> None:
        """`days` is for how many a file is kept; 0 keeps it until the total is reached."""
        self._folder = folder
        self._day_bytes = day_bytes
        self._total_bytes = total_bytes
        self._days = days
        self._swept = ""
        # Sizes of today's files, so that a batch costs no stat; forgotten at midnight.
        self._sizes: dict[tuple[str, str], int] = {}
        self._full: set[tuple[str, str]] = set()
        # What the host still said of a full file's function, in bytes.
        self._said: dict[tuple[str, str], int] = {}
        self._written_since_sweep = 0
        self._failing = False

    def append(self, function: str, ts_ms: int, lines: Iterable[bytes]) -> None:
        """Write lines to the function's file of the day. A full disk loses lines, never the host."""
        day = _rfc3339(ts_ms)[:10]
        key = (function, day)
        if key in self._full:
            return
        try:
            self._append(key, ts_ms, list(lines))
            self._failing = False
        except OSError as error:
            if not self._failing:
                _log.error("logs of functions cannot be written: %s", error)
            self._failing = True

    def append_own(self, function: str, ts_ms: int, line: bytes) -> None:
        """Write a line of the host's own: a function that fills its log must still learn why it was ended."""
        key = (function, _rfc3339(ts_ms)[:10])
        if key not in self._full:
            self.append(function, ts_ms, [line])
        elif self._said.get(key, 0) + len(line) <= self._day_bytes // 16:
            self._said = {known: held for known, held in self._said.items() if known[1] == key[1]}
            self._said[key] = self._said.get(key, 0) + len(line)
            with contextlib.suppress(OSError):
                _write(self._folder / function / f"{key[1]}.jsonl", line)

    def _append(self, key: tuple[str, str], ts_ms: int, lines: list[bytes]) -> None:
        function, day = key
        path = self._folder / function / f"{day}.jsonl"
        size = self._sizes.get(key)
        if size is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            size = path.stat().st_size if path.exists() else 0
            self._sizes = {known: held for known, held in self._sizes.items() if known[1] == day}
            self._full = {known for known in self._full if known[1] == day}
            if size >= self._day_bytes:
                self._full.add(key)
                return
        kept: list[bytes] = []
        for line in lines:
            if size + len(line) > self._day_bytes:
                limit = f"{self._day_bytes >> 20} MB"
                text = f"this function's log of {day} is full at {limit}; no more is kept today"
                kept.append(render(LogRecord(text, "warning"), ts_ms, "", ""))
                self._full.add(key)
                break
            kept.append(line)
            size += len(line)
        self._sizes[key] = size
        content = b"".join(kept)
        _write(path, content)
        self._written_since_sweep += len(content)
        # Once a day at least, so that old days go from a quiet machine too.
        if self._written_since_sweep > self._total_bytes // 16 or self._swept != day:
            self._written_since_sweep = 0
            self.sweep(day)

    def sweep(self, today: str) -> None:
        """Delete the days that are over, then the oldest until all files fit; today's stay."""
        self._swept = today
        oldest = _oldest_kept(today, self._days)
        found = sorted((path.name, path.stat().st_size, path) for path in self._folder.glob("*/*.jsonl"))
        total = sum(size for _, size, _ in found)
        for name, size, path in found:
            fits = total <= self._total_bytes and name >= oldest
            if fits or name >= f"{today}.jsonl":
                break
            path.unlink(missing_ok=True)
            total -= size


def overdue_logs(folder: Path, now_ms: int, days: int) -> list[Path]:
    """Return the files of days that are over, oldest first, for a clean-up while no host runs."""
    oldest = _oldest_kept(_rfc3339(now_ms)[:10], days)
    return sorted(
        (path for path in folder.glob("*/*.jsonl") if path.name < oldest), key=lambda path: path.name
    )


def _oldest_kept(today: str, days: int) -> str:
    """Return the first day that is kept; "" keeps all."""
    return (date.fromisoformat(today) - timedelta(days=days)).isoformat() if days else ""


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o640)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def _rfc3339(ts_ms: int) -> str:
    moment = datetime.fromtimestamp(ts_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
