"""How commands show results: a table for people, JSON for scripts, progress only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from control_plane.cli.state import CliState

__all__ = ["next_step", "note", "progress", "show_list", "show_one"]


def show_list(state: CliState, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows: as a JSON array, or as a table of the named columns."""
    if state.output == "json":
        click.echo(json.dumps(list(rows), indent=2, ensure_ascii=False))
        return
    if not rows:
        note("None.")
        return
    table = [[_cell(row.get(column)) for column in columns] for row in rows]
    heads = [column.replace("_", " ").upper() for column in columns]
    widths = [max(len(line[index]) for line in [heads, *table]) for index in range(len(columns))]
    click.echo(click.style(_line(heads, widths), bold=True))
    for line in table:
        click.echo(_line(line, widths))


def show_one(state: CliState, row: Mapping[str, Any], fields: Sequence[str] = ()) -> None:
    """Print one thing: as a JSON object, or as `name  value` lines."""
    if state.output == "json":
        click.echo(json.dumps(row, indent=2, ensure_ascii=False))
        return
    shown = [field for field in (fields or row) if row.get(field) not in (None, "", [], {})]
    width = max((len(field) for field in shown), default=0)
    for field in shown:
        label = field.replace("_", " ").ljust(width)
        click.echo(f"{click.style(label, bold=True)}  {_cell(row[field])}")


def note(message: str) -> None:
    """Say something to the person, on standard error so that a pipe stays clean."""
    click.echo(message, err=True)


def next_step(state: CliState, what: str) -> None:
    """Say what one does next; a script, which reads JSON, knows that already."""
    if state.output != "json":
        note(f"Next: {what}")


@contextmanager
def progress(message: str) -> Iterator[None]:
    """Show a spinner while something takes time, on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(message):
        yield


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    # Control characters in a name must not reach the terminal as commands.
    return "".join(char if char.isprintable() else "�" for char in str(value))
