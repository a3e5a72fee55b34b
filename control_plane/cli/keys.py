"""`ingot key`: callers' API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from control_plane.cli.named import find_key
from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.references import find_function, find_project
from control_plane.cli.state import CliState, confirm, pass_state

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["key"]

_MODES: Final = click.Choice(["sync", "stream", "async"])
_STATES: Final = click.Choice(["active", "expired", "revoked"])
_FIELDS: Final = (
    "id",
    "name",
    "kind",
    "hint",
    "previous",
    "scopes",
    "modes",
    "networks",
    "rate_10s",
    "concurrency",
    "created_at",
    "expires_at",
    "revoked_at",
    "last_used_at",
)

_COLUMNS: Final = (
    "id",
    "name",
    "hint",
    "functions",
    "modes",
    "networks",
    "expires_at",
    "revoked_at",
    "last_used_at",
)


@click.group()
def key() -> None:
    """Manage callers' API keys."""


@key.command("create")
@click.argument("name")
@click.option("--project", help="Name or id of the project; default: the functions' own, or the only one.")
@click.option(
    "--function", "functions", multiple=True, help="A function it may call; default: all of the project."
)
@click.option("--mode", "modes", type=_MODES, multiple=True, help="A way it may call; default: every way.")
@click.option("--from", "networks", multiple=True, help="A network it may call from; default: everywhere.")
@click.option("--rate", "rate_10s", type=click.IntRange(min=0), default=0, help="Calls in 10 s; 0: no limit.")
@click.option("--concurrency", type=click.IntRange(min=0), default=0, help="Calls at once; 0: no limit.")
@click.option("--days", type=click.IntRange(0, 3660), default=0, help="The key's life; 0: until revoked.")
@pass_state
def create(state: CliState, /, name: str, project: str | None, **wanted: Any) -> None:
    """Create an API key NAME; its text is shown this one time."""
    with state.client() as client:
        place = _project_of(client, project, wanted["functions"])
        made = client.create(f"/projects/{place}/api-keys", {"name": name, **_plain(wanted)})
    _show_made(state, made)


@key.command("rotate")
@click.argument("key")
@click.option(
    "--overlap-hours",
    type=click.FloatRange(0, 720),
    default=24.0,
    show_default=True,
    help="How long the text before stays good; 0: not at all.",
)
@pass_state
def rotate(state: CliState, key: str, overlap_hours: float) -> None:
    """Give KEY a new text, shown this one time; the one before stays good for a while."""
    with state.client() as client:
        known = find_key(client, key)
        made = client.create(f"/api-keys/{known['id']}/rotate", {"overlap_s": int(overlap_hours * 3600)})
    _show_made(state, made)


@key.command("change")
@click.argument("key")
@click.option("--name", help="Another name.")
@click.option("--function", "functions", multiple=True, help="The functions it may call from now on.")
@click.option("--mode", "modes", type=_MODES, multiple=True, help="The ways it may call from now on.")
@click.option(
    "--from", "networks", multiple=True, help="The networks it may call from; 'anywhere' lifts them."
)
@click.option("--rate", "rate_10s", type=click.IntRange(min=0), help="Calls in 10 s; 0: no limit.")
@click.option("--concurrency", type=click.IntRange(min=0), help="Calls at once; 0: no limit.")
@click.option("--days", type=click.IntRange(0, 3660), help="Life from now on; 0: until revoked.")
@pass_state
def change(state: CliState, /, key: str, **wanted: Any) -> None:
    """Change what KEY may do; what is not named stays. What it loses ends its open sessions too."""
    named = {name: value for name, value in _plain(wanted).items() if value not in (None, [])}
    if named.get("networks") == ["anywhere"]:
        named["networks"] = []
    with state.client() as client:
        changed = client.edit(f"/api-keys/{find_key(client, key)['id']}", named)
    show_one(state, changed, _FIELDS)


@key.command("show")
@click.argument("key")
@pass_state
def show(state: CliState, key: str) -> None:
    """Show what KEY may do and when it last called, never its text."""
    with state.client() as client:
        show_one(state, find_key(client, key), _FIELDS)


@key.command("list")
@click.option("--project", help="Name or id of the project; not needed when there is one only.")
@click.option("--name", help="Only those whose name begins so.")
@click.option("--state", "stands", type=_STATES, help="Only those that stand so.")
@click.option("--function", help="Only those that may call it, by name or with all of the project.")
@pass_state
def list_keys(
    state: CliState, project: str | None, name: str | None, stands: str | None, function: str | None
) -> None:
    """List the API keys of a project, with the hour of their last call."""
    with state.client() as client:
        place = _project_of(client, project, (function,) if function else ())
        wanted: dict[str, Any] = {"name": name, "state": stands, "function": function}
        rows = list(client.pages(f"/projects/{place}/api-keys", **wanted))
        if state.output != "json" and any(row["scopes"] for row in rows):
            functions = {one["id"]: one["name"] for one in client.pages("/functions", project=place)}
            rows = [{**row, "scopes": [functions.get(one, one) for one in row["scopes"]]} for row in rows]
    if state.output != "json":
        rows = [_in_words(row) for row in rows]
    show_list(state, rows, _COLUMNS)


@key.command("revoke")
@click.argument("key")
@click.option("--previous", is_flag=True, help="End only the text before the last rotation.")
@pass_state
def revoke(state: CliState, key: str, previous: bool) -> None:
    """Revoke the API KEY; within two seconds no gateway accepts it any more."""
    with state.client() as client:
        known = find_key(client, key)
        named = f"{known['name']} ({known['id']})"
        confirm(state, f"Revoke {named}? Its callers are cut off.")
        client.delete(f"/api-keys/{known['id']}" + ("/previous" if previous else ""))
    note(f"The old text of {named} is revoked." if previous else f"{named} is revoked.")


def _in_words(row: dict[str, Any]) -> dict[str, Any]:
    """Say what a key may do; where it names nothing, all is meant."""
    return {
        **row,
        "functions": "all" if row["scopes"] == [row["project"]] else ", ".join(row["scopes"]),
        "modes": ", ".join(row["modes"]) or "all",
        "networks": ", ".join(row["networks"]) or "everywhere",
    }


def _project_of(client: Client, project: str | None, functions: tuple[str, ...]) -> str:
    """Return the id of the named project, else of the one that the key's functions lie in."""
    if project is None and functions:
        return str(find_function(client, functions[0])["project"])
    return str(find_project(client, project)["id"])


def _plain(wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in wanted.items()}


def _show_made(state: CliState, made: dict[str, Any]) -> None:
    """Print a new text by itself, so that a script can take it."""
    if state.output == "json":
        show_one(state, made)
        return
    click.echo(made["text"])
    note(f"Key {made['key']['id']}. Keep it now: it is not shown again.")
    if made["key"]["previous"]:
        note(f"The text before stays good until {made['key']['previous']['valid_until']}.")
