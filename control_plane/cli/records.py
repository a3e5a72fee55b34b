"""How log records look: one line each, a traceback below, and nothing that a terminal would obey."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from control_plane.cli.advice import advice_on

__all__ = ["author_places", "failure_lines", "last_place", "plain", "record_lines"]

# Where a sandbox shows the function's folder.
_FUNCTION: Final = "/function/"
_MISSING: Final = re.compile(r"ModuleNotFoundError: No module named '([^']+)'")
_FRAME: Final = re.compile(r'File "/function/([^"]+)", line (\d+)')


def record_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of one record: time, level, request, message and fields."""
    level = str(record.get("level", "")).upper()
    fields = record.get("fields")
    shown = dict(fields) if isinstance(fields, Mapping) else {}
    traceback = str(shown.pop("traceback", ""))
    shown.pop("logger", None)
    message, *more = author_places(str(record.get("message", ""))).splitlines() or [""]
    place = last_place(traceback)
    if place:
        message = f"{message}  {place}"
    pairs = " ".join(f"{name}={value}" for name, value in shown.items())
    parts = [str(record.get("ts", "")), f"{level:<7}", str(record.get("request_id", ""))]
    parts += [message, pairs]
    yield "  ".join(plain(part) for part in parts if part.strip())
    for line in (*more, *author_places(traceback).splitlines()):
        yield f"    {plain(line)}"


def author_places(text: str) -> str:
    """Return the text with files named as they are in the author's folder, not in the sandbox."""
    return text.replace(f'File "{_FUNCTION}', 'File "')


def last_place(traceback: str) -> str:
    """Return file:line of the author's innermost frame, which most terminals make a link of."""
    frames = _FRAME.findall(traceback)
    return f"{frames[-1][0]}:{frames[-1][1]}" if frames else ""


def failure_lines(code: str, message: str) -> Iterator[str]:
    """Yield why code does not load: the code, where in the author's file, then what Python said."""
    place = last_place(message)
    yield plain(f"{code}  {place}" if place else code)
    for line in author_places(message).splitlines():
        yield f"    {plain(line)}"
    missing = _MISSING.search(message)
    if missing:
        yield f"Hint: Add what brings “{plain(missing[1])}” to requirements.txt."
    elif not place and (advice := advice_on((code,))):
        yield f"Hint: {advice}"


def plain(text: str) -> str:
    """Return the text without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)
