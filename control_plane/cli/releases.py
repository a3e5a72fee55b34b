"""`ingot release`: put versions into traffic, watch it happen, go back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import progress, show_list, show_one
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, confirm, pass_state

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["release"]

_FIELDS = (
    "number",
    "state",
    "traffic",
    "digest",
    "unreviewed",
    "rollback_of",
    "note",
    "conditions",
    "created_at",
)
_WAIT = click.option("--wait/--no-wait", default=True, help="Wait until calls reach it.")
_TIMEOUT = click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to wait.")


@click.group()
def release() -> None:
    """Put versions into traffic, and take them out."""


@release.command("create")
@click.argument("function", required=False)
@click.option("--version", "number", type=int, help="Version to release; default: the newest.")
@click.option("--canary", type=click.IntRange(1, 99), help="Percent of traffic; the rest stays where it is.")
@click.option("--note", "remark", default="", help="Why.")
@click.option("--plan", is_flag=True, help="Only show what would happen.")
@_WAIT
@_TIMEOUT
@pass_state
def create(  # noqa: PLR0913, PLR0917  (each is one option)
    state: CliState,
    function: str | None,
    number: int | None,
    canary: int | None,
    remark: str,
    plan: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Release a version of FUNCTION, to all calls or to a canary's share."""
    with state.client() as client:
        found = find_function(client, function)
        wanted = {"version": number or found["latest"], "percent": canary or 100, "note": remark}
        path = f"/functions/{found['id']}/releases"
        if plan:
            show_one(state, client.post(f"{path}/plan", wanted))
            return
        made = client.create(path, wanted)
        if wait:
            made = _wait(client, f"{path}/{made['number']}", timeout)
    _show(state, made)


@release.command("rollback")
@click.argument("function", required=False)
@click.option("--to", "number", type=int, help="Release to go back to; default: the one before.")
@_WAIT
@_TIMEOUT
@pass_state
def rollback(state: CliState, function: str | None, number: int | None, wait: bool, timeout: float) -> None:
    """Bring the versions of an earlier release of FUNCTION back."""
    with state.client() as client:
        found = find_function(client, function)
        confirm(state, f"Roll {found['name']} back?")
        path = f"/functions/{found['id']}/releases"
        made = client.create(f"{path}/rollback", {"release": number})
        if wait:
            made = _wait(client, f"{path}/{made['number']}", timeout)
    _show(state, made)


@release.command("list")
@click.argument("function", required=False)
@pass_state
def list_releases(state: CliState, function: str | None) -> None:
    """List FUNCTION's releases, newest first."""
    with state.client() as client:
        found = find_function(client, function)
        rows = list(client.pages(f"/functions/{found['id']}/releases"))
    for row in rows:
        row["traffic"] = _traffic(row)
    show_list(state, rows, ("number", "state", "traffic", "rollback_of", "created_at"))


@release.command("status")
@click.argument("function", required=False)
@click.option("--release", "number", type=int, help="Number of the release; default: the newest.")
@pass_state
def status(state: CliState, function: str | None, number: int | None) -> None:
    """Show a release of FUNCTION with its conditions."""
    with state.client() as client:
        found = find_function(client, function)
        path = f"/functions/{found['id']}/releases"
        if number is None:
            newest = client.get(path, limit=1)["items"]
            if not newest:
                raise Failure("This function has no release.", exit_code=ExitCode.NOT_FOUND)
            number = newest[0]["number"]
        _show(state, client.get(f"{path}/{number}"))


def _show(state: CliState, found: dict[str, Any]) -> None:
    """Print a release; the table says traffic and conditions in words."""
    if state.output == "json":
        show_one(state, found)
        return
    words = [f"{one['type']}: {one['message']}" for one in found["conditions"] if one["status"]]
    show_one(state, {**found, "traffic": _traffic(found), "conditions": " ".join(words)}, _FIELDS)


def _traffic(found: dict[str, Any]) -> str:
    parts = found["parts"]
    return ", ".join(
        f"version {part['number']} {part['percent']} %" + (f" (@{part['tag']})" if part["tag"] else "")
        for part in parts
    )


def _wait(client: Client, path: str, timeout_s: float) -> dict[str, Any]:
    """Return the release once it is decided; a failed one ends the command with its reason."""
    deadline = time.monotonic() + timeout_s
    with progress("Releasing"):
        while True:
            found: dict[str, Any] = client.get(path)
            if found["state"] != "pending":
                break
            if time.monotonic() >= deadline:
                raise Failure(
                    f"Release {found['number']} is still pending after {timeout_s:.0f} s.",
                    hint="`ingot release status` shows what it waits for; it goes on by itself.",
                    exit_code=ExitCode.UNAVAILABLE,
                )
            time.sleep(0.1)
    if found["state"] == "failed":
        reasons = [item for item in found["conditions"] if item["type"] == "Failed"]
        why = "; ".join(f"{item['reason']}: {item['message']}" for item in reasons)
        raise Failure(
            f"Release {found['number']} failed: {why or 'no reason is known'}.",
            hint="The versions before it go on serving. `ingot logs` may show more.",
        )
    return found
