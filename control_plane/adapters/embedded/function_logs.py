"""Reads the day files that the function host writes; see docs/contracts.md for their lines.

Bounded: one answer looks at no more than the newest megabytes of two days.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from control_plane.errors import Invalid
from control_plane.ports import LogPage

__all__ = ["DayFileLogs"]

_MOST_BYTES: Final = 4_000_000
_POSITION: Final = re.compile(r"(\d{4}-\d\d-\d\d):(\d{1,15})")
_FUNCTION: Final = re.compile(r"fn_[0-9a-z]{26}")
_TIME: Final = re.compile(rb'\{"ts":"([^"]{10,40})"')
# A record's time is when the host read it, which may be a moment after what it tells of; clocks differ.
_EARLIER_MS: Final = 1_000


class DayFileLogs:
    """The log records below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(
        self, function: str, *, after: str = "", request: str = "", limit: int = 100, around_ms: int = 0
    ) -> LogPage:
        """Return records, oldest first, and the position behind them."""
        if not _FUNCTION.fullmatch(function):
            raise Invalid("This is not a function's id.", field="function")
        days = sorted(path.stem for path in (self._folder / function).glob("*.jsonl"))
        if around_ms and not after:
            after = self._position_of(function, days, max(around_ms - _EARLIER_MS, 0))
            # A call may end on the day after.
            days = [day for day in days if day >= after[:10]][:2]
        found: list[Mapping[str, Any]] = []
        position = after
        for day, start in _starts(days, after):
            for end, record in self._records(function, day, start):
                if not request or record.get("request_id") == request:
                    found.append(record)
                position = f"{day}:{end}"
                if after and len(found) >= limit:
                    return LogPage(tuple(found), position)
        return LogPage(tuple(found[-limit:]), position)

    def _position_of(self, function: str, days: list[str], at_ms: int) -> str:
        """Return the position of the first record that is not older than a time."""
        moment = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        day, wanted = moment[:10], moment.replace("+00:00", "Z").encode()
        if day not in days:
            return f"{day}:0"
        with (self._folder / function / f"{day}.jsonl").open("rb") as file:
            low, high = 0, file.seek(0, 2)
            # A file is in the order of time, so a few looks find the place in any size of it.
            while low < high:
                middle = (low + high) // 2
                start, line = _line_at(file, middle)
                if not line or start >= high or _time_of(line) >= wanted:
                    high = middle
                else:
                    low = start + len(line)
            return f"{day}:{_line_at(file, low)[0]}"

    def _records(self, function: str, day: str, start: int | None) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield (offset behind it, record) of whole lines; a line being written waits for its end."""
        path = self._folder / function / f"{day}.jsonl"
        with path.open("rb") as file:
            size = file.seek(0, 2)
            offset = max(0, size - _MOST_BYTES) if start is None else min(start, size)
            file.seek(offset)
            if start is None and offset:
                offset += len(file.readline())
            for line in file.read(_MOST_BYTES).splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                record = _parsed(line)
                if record is not None:
                    yield offset, record


def _starts(days: list[str], after: str) -> list[tuple[str, int | None]]:
    """Return the days to read with their first byte; None begins at the newest megabytes."""
    if not after:
        return [(day, None) for day in days[-2:]]
    match = _POSITION.fullmatch(after)
    if match is None:
        raise Invalid("This is not a position in a log.", field="after", hint="Send `after` back unchanged.")
    day, offset = match[1], int(match[2])
    return [(known, offset if known == day else 0) for known in days if known >= day]


def _line_at(file: IO[bytes], offset: int) -> tuple[int, bytes]:
    """Return where the first line begins that starts at `offset` or behind it, and the line."""
    file.seek(max(offset - 1, 0))
    skipped = len(file.readline()) if offset else 0
    start = max(offset - 1, 0) + skipped
    return start, file.readline()


def _time_of(line: bytes) -> bytes:
    match = _TIME.match(line)
    # A line without a time is damage; it stands where it stands.
    return match[1] if match else b""


def _parsed(line: bytes) -> Mapping[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
