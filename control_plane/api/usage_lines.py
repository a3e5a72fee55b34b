"""Usage as lines that other programs read: CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["COLUMNS", "moment", "usage_lines"]

COLUMNS: Final = (
    "at",
    "project",
    "function",
    "function_name",
    "version",
    "key",
    "outcome",
    "calls",
    "billed_calls",
    "cold_calls",
    "billed_ms",
    "memory_mb_ms",
    "bytes_in",
    "bytes_out",
)


def usage_lines(
    kind: str, rows: Iterable[tuple[int, Sequence[Any]]], names: Mapping[str, str]
) -> Iterator[str]:
    """Yield lines of (unit, (project, function, version, key, outcome, sums…)); `names` are functions'."""
    if kind == "csv":
        yield _csv(COLUMNS)
    for at_ms, row in rows:
        project, function, *rest = row
        sums = [int(value) for value in rest[3:]]
        values = [moment(at_ms, "hour"), project, function, names.get(function, ""), *rest[:3], *sums]
        if kind == "csv":
            yield _csv(values)
        else:
            yield json.dumps(dict(zip(COLUMNS, values, strict=True)), ensure_ascii=False) + "\n"


def moment(at_ms: int, unit: str) -> str:
    """Return a day as its date, anything else as RFC 3339."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.date().isoformat() if unit == "day" else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _csv(values: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
