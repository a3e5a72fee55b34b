"""`ingot audit`: who did what to what, and proof that nothing was changed or cut."""

from __future__ import annotations

import click

from control_plane.cli.failures import ExitCode
from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.state import CliState, pass_state

__all__ = ["audit"]


@click.group()
def audit() -> None:
    """Read and verify the audit chain."""


@audit.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@pass_state
def list_entries(state: CliState, limit: int) -> None:
    """List the newest entries, oldest of them first."""
    with state.client() as client:
        rows = list(client.pages("/audit"))[-limit:]
    for row in rows:
        row["who"] = row["actor"].get("name") or row["actor"].get("user")
    show_list(state, rows, ("sequence", "at", "who", "action", "subject", "outcome"))


@audit.command("verify")
@pass_state
@click.pass_context
def verify(context: click.Context, state: CliState) -> None:
    """Check every entry's hash and every signed checkpoint."""
    with state.client(timeout_s=300) as client:
        report = client.get("/audit/verification")
    show_one(state, report)
    if not report["intact"]:
        note("The audit chain is not intact.")
        context.exit(ExitCode.FAILED)
