"""`ingot test-run`: test runs that nobody waits for, and those of before."""

from __future__ import annotations

import json

import click

from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.records import record_lines
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, pass_state

__all__ = ["test_run"]

_COLUMNS = ("id", "state", "status", "revision", "duration_ms", "code", "created_at")


@click.group("test-run")
def test_run() -> None:
    """Look at test runs, and end them."""


@test_run.command("list")
@click.argument("function", required=False)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@pass_state
def list_runs(state: CliState, function: str | None, limit: int) -> None:
    """List FUNCTION's test runs, newest first."""
    with state.client() as client:
        found = find_function(client, function)
        rows = list(client.pages(f"/functions/{found['id']}/draft/test-runs", limit=limit))
    show_list(state, rows, _COLUMNS)


@test_run.command("get")
@click.argument("function")
@click.argument("run")
@pass_state
def get(state: CliState, function: str, run: str) -> None:
    """Show one test run."""
    with state.client() as client:
        found = find_function(client, function)
        shown = client.get(f"/functions/{found['id']}/draft/test-runs/{run}")
    show_one(state, shown, (*_COLUMNS, "message", "import_ms", "peak_mb"))


@test_run.command("cancel")
@click.argument("function")
@click.argument("run")
@pass_state
def cancel(state: CliState, function: str, run: str) -> None:
    """End a test run that nobody needs any more."""
    with state.client() as client:
        found = find_function(client, function)
        shown = client.post(f"/functions/{found['id']}/draft/test-runs/{run}/cancel")
    show_one(state, shown, _COLUMNS)


@test_run.command("logs")
@click.argument("function")
@click.argument("run")
@pass_state
def logs(state: CliState, function: str, run: str) -> None:
    """Show a test run's log records as they come, until it ends."""
    with state.client() as client:
        found = find_function(client, function)
        for kind, body in client.listen(f"/stream/functions/{found['id']}/test-runs/{run}"):
            if kind == "finished":
                note(f"{body['state']} {body['code'] or body['status']}")
            elif state.output == "json":
                click.echo(json.dumps(body, ensure_ascii=False))
            else:
                for line in record_lines(body):
                    click.echo(line)
