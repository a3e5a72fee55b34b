"""`ingot usage`: what was counted, by function, key or day; and whether all records agree."""

from __future__ import annotations

from typing import Any

import click

from control_plane.cli.failures import ExitCode
from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, pass_state

__all__ = ["usage"]

_COLUMNS = ("label", "calls", "failed", "refused", "cold_calls", "billed_ms", "memory_mb_ms", "bytes_out")


@click.group(invoke_without_command=True)
@click.option(
    "--by", type=click.Choice(["function", "key", "day"]), default="function", help="One row for each."
)
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How far back.")
@click.pass_context
def usage(context: click.Context, by: str, days: int) -> None:
    """Show what was counted, and check it."""
    if context.invoked_subcommand is not None:
        return
    state = context.find_object(CliState) or CliState()
    with state.client() as client:
        rows: list[dict[str, Any]] = client.get("/usage", group_by=by, days=days)["items"]
    show_list(state, rows, _COLUMNS)


@usage.command("calls")
@click.argument("function", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@pass_state
def calls(state: CliState, function: str | None, limit: int) -> None:
    """List the newest calls, of FUNCTION or of all."""
    with state.client() as client:
        found = find_function(client, function)["id"] if function else None
        rows = list(client.pages("/invocations", limit=limit, function=found))
    show_list(state, rows, ("accepted_at", "status", "outcome", "cold", "billed_ms", "function", "id"))


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
