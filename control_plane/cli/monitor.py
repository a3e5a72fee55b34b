"""`ingot monitor`: functions, waiting, the API and the machine over time."""

from __future__ import annotations

from typing import Any

import click

from control_plane.cli.output import show_list, show_one
from control_plane.cli.records import plain
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, pass_state

__all__ = ["monitor"]

_FUNCTIONS = (
    "at",
    "calls",
    "caller_faults",
    "author_faults",
    "platform_faults",
    "p50_ms",
    "p95_ms",
    "queue_ms",
    "cold_starts",
    "instances",
)
_SYSTEM = (
    "at",
    "cpu_percent",
    "memory_used_mb",
    "disk_used_mb",
    "connections",
    "queued",
    "lag_lines",
    "lease_s",
)
_API = ("at", "requests_per_s", "refused_per_s", "failed_per_s", "mean_ms", "p95_ms")


@click.group()
@click.option("--from", "start", help="From this time on, RFC 3339; default: an hour ago.")
@click.option("--to", "end", help="Before this time, RFC 3339; default: now.")
@click.option(
    "--step", type=click.IntRange(0, 86_400), default=0, help="Seconds from point to point; 0 picks."
)
@click.pass_context
def monitor(context: click.Context, start: str | None, end: str | None, step: int) -> None:
    """Show numbers over time."""
    context.meta["ingot.span"] = {"from": start, "to": end, "step": step}


@monitor.command("functions")
@click.argument("function", required=False)
@click.option("--project", help="Id or name; default: all that you see.")
@click.option("--by-version", is_flag=True, help="One series for each version.")
@pass_state
@click.pass_context
def functions(
    context: click.Context, state: CliState, function: str | None, project: str | None, by_version: bool
) -> None:
    """Show calls, faults, durations, cold starts and instances."""
    with state.client() as client:
        found = find_function(client, function)["id"] if function else None
        answer = client.get(
            "/monitor/functions",
            function=found,
            project=project,
            by_version="true" if by_version else None,
            **context.meta["ingot.span"],
        )
    if state.output == "json":
        show_one(state, answer)
        return
    for series in answer["items"]:
        click.echo(click.style(plain(series["name"]), bold=True))
        show_list(state, series["points"], _FUNCTIONS)


@monitor.command("queue")
@click.argument("function", required=False)
@pass_state
@click.pass_context
def queue(context: click.Context, state: CliState, function: str | None) -> None:
    """Show how long calls waited for a free instance."""
    with state.client() as client:
        found = find_function(client, function)["id"] if function else None
        answer = client.get("/monitor/queue", function=found, **context.meta["ingot.span"])
    _show(state, answer, ("at", "calls", "queue_ms"))


@monitor.command("system")
@pass_state
@click.pass_context
def system(context: click.Context, state: CliState) -> None:
    """Show the machine; for those who hold a role in the whole system."""
    with state.client() as client:
        answer = client.get("/monitor/system", **context.meta["ingot.span"])
    _show(state, answer, _SYSTEM)


@monitor.command("api")
@pass_state
@click.pass_context
def api(context: click.Context, state: CliState) -> None:
    """Show requests of the API; for those who hold a role in the whole system."""
    with state.client() as client:
        answer = client.get("/monitor/api", **context.meta["ingot.span"])
    _show(state, answer, _API)


def _show(state: CliState, answer: dict[str, Any], columns: tuple[str, ...]) -> None:
    if state.output == "json":
        show_one(state, answer)
        return
    show_list(state, answer["points"], columns)
