"""How log records look: one line each, a traceback below, and nothing that a terminal would obey."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["plain", "record_lines"]


def record_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of one record: time, level, request, message and fields."""
    level = str(record.get("level", "")).upper()
    fields = record.get("fields")
    shown = dict(fields) if isinstance(fields, Mapping) else {}
    traceback = str(shown.pop("traceback", ""))
    shown.pop("logger", None)
    pairs = " ".join(f"{name}={value}" for name, value in shown.items())
    parts = [str(record.get("ts", "")), f"{level:<7}", str(record.get("request_id", ""))]
    parts += [str(record.get("message", "")), pairs]
    yield "  ".join(plain(part) for part in parts if part.strip())
    for line in traceback.splitlines():
        yield f"    {plain(line)}"


def plain(text: str) -> str:
    """Return the text without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)
