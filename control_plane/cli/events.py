"""`ingot event`: what happened, as other systems are told it."""

from __future__ import annotations

import json
from typing import Any

import click

from control_plane.cli.output import note, show_list
from control_plane.cli.records import plain
from control_plane.cli.state import CliState, pass_state

__all__ = ["event"]

_COLUMNS = ("sequence", "time", "type", "subject")


@click.group()
def event() -> None:
    """Read the organization's events."""


@event.command("list")
@click.option("--after", type=click.IntRange(0), default=0, help="Begin behind this sequence number.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many.")
@click.option("--type", "kind", help="Only types that begin so: review, or review.approved.")
@click.option("--subject", help="Only what happened to the thing with this id.")
@click.option("--since", help="Only from this time on, RFC 3339.")
@pass_state
def list_events(state: CliState, /, after: int, limit: int, kind: str | None, **wanted: str | None) -> None:
    """List events, oldest first, in their public order."""
    with state.client() as client:
        rows = list(client.pages("/events", limit=limit, after=after, type=kind, **wanted))
    show_list(state, rows, _COLUMNS)
    if len(rows) == limit:
        note(f"There may be more: --after {rows[-1]['sequence']}")


@event.command("follow")
@click.option("--after", type=click.IntRange(0), help="Begin behind this sequence number; default: now.")
@pass_state
def follow(state: CliState, after: int | None) -> None:
    """Show events as they come; stop with Ctrl-C."""
    begin = "" if after is None else f"?after={after}"
    with state.client() as client:
        for _, body in client.listen(f"/stream{begin}"):
            _show(state, body)


def _show(state: CliState, body: dict[str, Any]) -> None:
    if state.output == "json":
        click.echo(json.dumps(body, ensure_ascii=False))
        return
    data = " ".join(f"{name}={value}" for name, value in body["data"].items())
    click.echo("  ".join(plain(str(part)) for part in (*(body[one] for one in _COLUMNS), data)))
