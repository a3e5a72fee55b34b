"""Tells of each setting what it is, where it comes from and what it means, and writes `.env.example`.

Only explains: what a value means to a process is that process's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control_plane.errors import NotFound
from control_plane.settings import load_settings, nearest, options, settings_from_file

__all__ = ["Explained", "environment_example", "explain"]

# The end of a field's name says its unit.
_UNITS = {
    "_s": "seconds",
    "_ms": "milliseconds",
    "_mb": "megabytes",
    "_mb_per_day": "megabytes",
    "_mb_total": "megabytes",
    "_port": "port",
    "_days": "days",
    "_hours": "hours",
    "_lines": "lines",
    "_url": "URL",
}
# A URL of a database may hold a password.
_SECRET = ("database.control_url", "database.usage_url")


@dataclass(frozen=True, slots=True)
class Explained:
    """One setting as it is in force."""

    name: str
    variable: str
    value: Any
    default: Any
    # "default", "environment" or the file's path.
    source: str
    unit: str
    meaning: str


def explain(
    data: Path, environment: Mapping[str, str], file: Path | None, name: str = ""
) -> tuple[Explained, ...]:
    """Return every setting, or the one that is named by its own or its variable's name.

    Raises NotFound naming the nearest one.
    """
    settings = load_settings(data, environment, file)
    written = settings_from_file(file) if file else {}
    found = tuple(
        Explained(
            name=option,
            variable=variable,
            value=_shown(option, getattr(getattr(settings, group), field)),
            default=default,
            source="environment" if variable in environment else _in_file(written, group, field, file),
            unit=_unit(field),
            meaning=text,
        )
        for variable, option, default, text in options()
        for group, _, field in (option.partition("."),)
    )
    if not name:
        return found
    named = tuple(one for one in found if name in (one.name, one.variable))
    if not named:
        message = f"There is no setting “{name[:80]}”."
        raise NotFound(message, field="name", hint=nearest(name, (one.name for one in found)))
    return named


def environment_example() -> str:
    """Return `.env.example`: every variable with its default, commented out."""
    return "".join(_example_lines())


def _example_lines() -> Iterator[str]:
    yield "# Every setting of Ingot as an environment variable, with its default.\n"
    yield "# Written by `scripts/settings_page.py --env`; `ingot settings explain` shows what is in force.\n"
    for variable, _, default, text in options():
        yield f"\n# {text}\n# {variable}={default}\n"


def _in_file(written: Mapping[str, Any], group: str, field: str, file: Path | None) -> str:
    return str(file) if field in written.get(group, {}) else "default"


def _unit(field: str) -> str:
    endings = sorted((end for end in _UNITS if field.endswith(end)), key=len)
    return _UNITS[endings[-1]] if endings else ""


def _shown(option: str, value: Any) -> Any:
    if option in _SECRET and "@" in str(value):
        scheme, _, rest = str(value).partition("://")
        return f"{scheme}://***@{rest.rpartition('@')[2]}"
    return value
