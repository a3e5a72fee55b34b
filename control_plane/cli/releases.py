"""`ingot release`: put versions into traffic, watch it happen, go back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import next_step, note, show_list, show_one
from control_plane.cli.references import find_function
from control_plane.cli.release_export import export
from control_plane.cli.release_options import (
    guard_of,
    guard_options,
    parts_of,
    seen_headers,
    show_release,
    traffic_of,
    wait_live,
    wait_options,
)
from control_plane.cli.release_verify import verify
from control_plane.cli.state import CliState, confirm, pass_state

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["release"]

_SEEN = click.option(
    "--seen", help="The traffic's ETag that you saw, as `plan` shows it; another is refused."
)
_NOTE = click.option("--note", "remark", default="", help="Why.")


@click.group()
def release() -> None:
    """Put versions into traffic, and take them out."""


def _wanted(found: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": options["number"] or found["latest"],
        "percent": options["canary"] or 100,
        "note": options["remark"],
        "guard": guard_of(options),
    }


@release.command("plan")
@click.argument("function", required=False)
@click.option("--version", "number", type=int, help="Version to release; default: the newest.")
@click.option("--canary", type=click.IntRange(1, 99), help="Percent of traffic; the rest stays where it is.")
@_NOTE
@guard_options
@pass_state
def plan(state: CliState, /, function: str | None, **options: Any) -> None:
    """Show what releasing a version of FUNCTION would change, and what stands against it."""
    with state.client() as client:
        found = find_function(client, function)
        _show_plan(state, client.post(f"/functions/{found['id']}/releases/plan", _wanted(found, options)))


@release.command("apply")
@click.argument("function", required=False)
@click.option("--version", "number", type=int, help="Version to release; default: the newest.")
@click.option("--canary", type=click.IntRange(1, 99), help="Percent of traffic; the rest stays where it is.")
@_NOTE
@guard_options
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would happen.")
@_SEEN
@wait_options
@pass_state
def apply(
    state: CliState,
    /,
    function: str | None,
    only_plan: bool,
    seen: str | None,
    wait: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Release a version of FUNCTION, to all calls or a canary's share, with a guard if limits are given."""
    with state.client() as client:
        found = find_function(client, function)
        wanted = _wanted(found, options)
        path = f"/functions/{found['id']}/releases"
        if only_plan:
            _show_plan(state, client.post(f"{path}/plan", wanted))
            return
        _record(state, client, path, wanted, seen=seen, timeout_s=timeout if wait else 0)
    next_step(state, f"ingot key create NAME gives callers a key; ingot invoke {found['name']} calls it.")


@release.command("split")
@click.argument("function")
@click.argument("shares", nargs=-1, required=True, metavar="VERSION=PERCENT[@TAG]...")
@_NOTE
@guard_options
@_SEEN
@wait_options
@pass_state
def split(
    state: CliState,
    /,
    function: str,
    shares: tuple[str, ...],
    seen: str | None,
    wait: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Divide FUNCTION's calls between versions; the shares add up to 100."""
    with state.client() as client:
        found = find_function(client, function)
        wanted = {"parts": parts_of(shares), "note": options["remark"], "guard": guard_of(options)}
        path = f"/functions/{found['id']}/releases"
        _record(state, client, path, wanted, seen=seen, timeout_s=timeout if wait else 0)


@release.command("tag")
@click.argument("function")
@click.argument("tag")
@click.option("--version", "number", type=int, help="Version that FUNCTION@TAG shall lead to.")
@click.option("--remove", is_flag=True, help="Let it lead nowhere.")
@_NOTE
@_SEEN
@wait_options
@pass_state
def set_tag(  # noqa: PLR0913, PLR0917  (each is one option)
    state: CliState,
    function: str,
    tag: str,
    number: int | None,
    remove: bool,
    remark: str,
    seen: str | None,
    wait: bool,
    timeout: float,
) -> None:
    """Let FUNCTION@TAG lead to a version; without an option, list the tags."""
    with state.client() as client:
        found = find_function(client, function)
        path = f"/functions/{found['id']}"
        if number is None and not remove:
            rows = [row for row in client.pages(f"{path}/tags") if row["tag"] == tag or tag == "all"]
            show_list(state, rows, ("tag", "number", "percent"))
            return
        headers = seen_headers(client, f"{path}/releases", seen)
        body = None if remove else {"version": number, "note": remark}
        verb = "DELETE" if remove else "PUT"
        made = client.send(verb, f"{path}/tags/{tag}", json=body, headers=headers).json()
        if wait:
            made = wait_live(client, f"{path}/releases/{made['number']}", timeout)
    show_release(state, made)


@release.command("guard")
@click.argument("function", required=False)
@click.option("--release", "number", type=int, help="Number of the release; default: the newest.")
@click.option("--off", is_flag=True, help="Let no guard watch it any more.")
@guard_options
@pass_state
def guard(state: CliState, /, function: str | None, number: int | None, off: bool, **options: Any) -> None:
    """Watch a release of FUNCTION with other limits, or not at all; without an option, show its guard."""
    with state.client() as client:
        found = find_function(client, function)
        path = f"/functions/{found['id']}/releases"
        answer = client.send("GET", f"{path}/{number or _newest(client, path)}")
        wanted, shown = guard_of(options), answer.json()
        if off or wanted:
            headers = {"If-Match": answer.headers["ETag"]}
            verb, body = ("DELETE", None) if off else ("PUT", wanted)
            shown = client.send(verb, f"{path}/{shown['number']}/guard", json=body, headers=headers).json()
    show_release(state, shown)


@release.command("rollback")
@click.argument("function", required=False)
@click.option("--to", "number", type=int, help="Release to go back to; default: the one before.")
@click.option("--newest-values", is_flag=True, help="Use today's settings and secrets, not those it had.")
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would happen.")
@_NOTE
@_SEEN
@wait_options
@pass_state
def rollback(  # noqa: PLR0913, PLR0917  (each is one option)
    state: CliState,
    function: str | None,
    number: int | None,
    newest_values: bool,
    only_plan: bool,
    remark: str,
    seen: str | None,
    wait: bool,
    timeout: float,
) -> None:
    """Bring the versions of an earlier release of FUNCTION back, with the values that they had."""
    with state.client() as client:
        found = find_function(client, function)
        path = f"/functions/{found['id']}/releases"
        wanted = {"release": number, "newest_values": newest_values, "note": remark}
        planned = client.post(f"{path}/rollback/plan", wanted)
        if only_plan:
            _show_plan(state, planned)
            return
        confirm(state, f"Roll {found['name']} back to {traffic_of(planned)}?")
        headers = {"If-Match": f'"{seen or planned["etag"]}"'}
        made = client.create(f"{path}/rollback", wanted, headers)
        if wait:
            made = wait_live(client, f"{path}/{made['number']}", timeout)
    show_release(state, made)


@release.command("list")
@click.argument("function", required=False)
@pass_state
def list_releases(state: CliState, function: str | None) -> None:
    """List FUNCTION's releases, newest first: who released what, and why."""
    with state.client() as client:
        found = find_function(client, function)
        rows = list(client.pages(f"/functions/{found['id']}/releases"))
    for row in rows:
        row["traffic"] = traffic_of(row)
        if state.output != "json":
            # 0 says that it is none.
            row["rollback_of"] = row["rollback_of"] or None
    columns = (
        "number", "state", "traffic", "unreviewed", "rollback_of", "created_by_name", "note", "created_at",
    )  # fmt: skip
    show_list(state, rows, columns)


@release.command("status")
@click.argument("function", required=False)
@click.option("--release", "number", type=int, help="Number of the release; default: the newest.")
@pass_state
def status(state: CliState, function: str | None, number: int | None) -> None:
    """Show a release of FUNCTION with its conditions and its guard."""
    with state.client() as client:
        found = find_function(client, function)
        path = f"/functions/{found['id']}/releases"
        show_release(state, client.get(f"{path}/{number or _newest(client, path)}"))


def _record(
    state: CliState, client: Client, path: str, wanted: dict[str, Any], *, seen: str | None, timeout_s: float
) -> None:
    """Record a release against the traffic that was seen, and show it, live if it is waited for."""
    made = client.create(path, wanted, seen_headers(client, path, seen))
    show_release(state, wait_live(client, f"{path}/{made['number']}", timeout_s) if timeout_s else made)


def _newest(client: Client, path: str) -> int:
    newest = client.get(path, limit=1)["items"]
    if not newest:
        raise Failure("This function has no release.", exit_code=ExitCode.NOT_FOUND)
    return int(newest[0]["number"])


def _show_plan(state: CliState, planned: dict[str, Any]) -> None:
    """Print a plan: what changes as a table, the rest as sentences."""
    if state.output == "json":
        show_one(state, planned)
        return
    show_list(state, planned["changes"], ("kind", "name", "before", "after"))
    for standing in planned["approvals"]:
        note(f"Version {standing['number']}: {standing['reason'].replace('_', ' ')}.")
    for sentence in planned["warnings"]:
        note(f"Warning: {sentence}")
    for code, sentence in planned["refusals"]:
        note(f"Refused ({code}): {sentence}")
    note(f"Apply it with --seen {planned['etag']}, so that nobody's release in between is overwritten.")


release.add_command(export)
release.add_command(verify)

# What the command was called first; scripts that say so go on working.
_before = click.Command("create", callback=apply.callback, params=apply.params, help=apply.help, hidden=True)
release.add_command(_before)
