"""`ingot usage`: what was counted, as sums and exports; and whether all records agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from control_plane.cli.bodies import write_body
from control_plane.cli.failures import ExitCode
from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, pass_state

__all__ = ["usage"]

_COLUMNS = ("label", "calls", "failed", "refused", "cold_calls", "billed_ms", "memory_mb_ms", "bytes_out")


@click.group(invoke_without_command=True)
@click.option(
    "--by",
    type=click.Choice(["function", "version", "key", "outcome", "day", "hour"]),
    default="function",
    show_default=True,
    help="One row for each.",
)
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How far back.")
@click.option("--from", "start", help="From this time on, RFC 3339; --days counts no more.")
@click.option("--to", "end", help="Before this time, RFC 3339.")
@click.option("--project", help="Only this project's calls.")
@click.option("--function", help="Only this function's calls.")
@click.option("--key", help="Only calls with this API key (an id).")
@click.pass_context
def usage(context: click.Context, /, by: str, days: int, start: str | None, **wanted: str | None) -> None:
    """Show what was counted, and check it."""
    if context.invoked_subcommand is not None:
        return
    state = context.find_object(CliState) or CliState()
    named: dict[str, Any] = {"from": start, "to": wanted.pop("end"), **wanted}
    with state.client() as client:
        if named["function"]:
            named["function"] = find_function(client, named["function"])["id"]
        rows = list(client.pages("/usage", group_by=by, days=days, **named))
    show_list(state, rows, _COLUMNS)


@usage.command("export")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "jsonl"]),
    default="csv",
    show_default=True,
    help="Kind of lines.",
)
@click.option(
    "--unit", type=click.Choice(["day", "hour"]), default="day", show_default=True, help="What a line sums."
)
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How far back.")
@click.option("--project", help="Id or name; default: all that you see.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="File to write it to.")
@pass_state
def export(state: CliState, kind: str, unit: str, days: int, project: str | None, save: Path | None) -> None:
    """Download every sum, by day or hour, function, version, key and outcome."""
    wanted = {"format": kind, "unit": unit, "days": days, "project": project}
    with state.client(timeout_s=300) as client:
        content = client.send("GET", "/usage/export", params=wanted).content
    write_body(content, save)


@usage.command("reconcile")
@click.option("--hours", type=click.IntRange(1, 24 * 31), default=24, show_default=True, help="How far back.")
@pass_state
@click.pass_context
def reconcile(context: click.Context, state: CliState, hours: int) -> None:
    """Compare the gateway's records, the host's records and the usage."""
    with state.client(timeout_s=300) as client:
        report = client.get("/usage/reconciliation", hours=hours)
    show_one(state, report)
    if not report["agrees"]:
        note("The records do not agree.")
        context.exit(ExitCode.FAILED)
