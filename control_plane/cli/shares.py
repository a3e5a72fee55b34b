"""`ingot share`: let others install a function."""

from __future__ import annotations

from typing import Any

import click

from control_plane.cli.named import find_share
from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.references import find_function, find_project
from control_plane.cli.state import CliState, confirm, pass_state

__all__ = ["share"]

_COLUMNS = ("id", "name", "kind", "number", "audience", "reviewed", "updated_at")


@click.group()
def share() -> None:
    """Let others install a function."""


@share.command("create")
@click.argument("function", required=False)
@click.option("--version", type=int, help="The version's number; default: the newest.")
@click.option(
    "--with",
    "audience",
    type=click.Choice(["project", "organization", "everyone"]),
    default="project",
    show_default=True,
    help="Who may see and install it.",
)
@click.option("--project", help="The project that sees it, with --with project; default: its own.")
@click.option("--starter", is_flag=True, help="Share it as something to begin from.")
@click.option("--summary", default="", help="One line about it; default: the version's description.")
@click.option("--tag", "tags", multiple=True, help="A word that it is found by; repeatable.")
@click.option("--unreviewed", is_flag=True, help="Nobody approved it, and its project asks for no approval.")
@pass_state
def create(
    state: CliState,
    /,
    function: str | None,
    version: int | None,
    audience: str,
    project: str | None,
    starter: bool,
    **described: Any,
) -> None:
    """Share a version of FUNCTION."""
    with state.client() as client:
        found = find_function(client, function)
        body = {
            "version": version or found["latest"],
            "kind": "starter" if starter else "function",
            "audience": audience,
            **_described(described),
        }
        if project:
            body["project"] = find_project(client, project)["id"]
        row = client.create(f"/functions/{found['id']}/shares", body)
    show_one(state, row, _COLUMNS)


@share.command("update")
@click.argument("share")
@click.option("--version", type=int, help="The version's number; default: the newest.")
@click.option("--summary", default="", help="One line about it; default: the version's description.")
@click.option("--tag", "tags", multiple=True, help="A word that it is found by; default: those it has.")
@click.option("--unreviewed", is_flag=True, help="Nobody approved it, and its project asks for no approval.")
@pass_state
def update(state: CliState, /, share: str, version: int | None, **described: Any) -> None:
    """Offer another version; whoever installed SHARE sees what is newer."""
    with state.client() as client:
        address = f"/shares/{find_share(client, share)['id']}"
        seen = client.send("GET", address)
        known = seen.json()
        newest = version or find_function(client, known["function"])["latest"]
        body = {"version": newest, "kind": known["kind"], **_described(described)}
        body["tags"] = body["tags"] or known["tags"]
        headers = {"If-Match": seen.headers["ETag"]}
        row = client.send("PUT", address, json=body, headers=headers).json()
    show_one(state, row, _COLUMNS)


@share.command("list")
@pass_state
def list_shares(state: CliState) -> None:
    """List what your organization shares."""
    with state.client() as client:
        rows = list(client.pages("/shares"))
    show_list(state, rows, _COLUMNS)


@share.command("rm")
@click.argument("share")
@pass_state
def remove(state: CliState, share: str) -> None:
    """Let nobody install SHARE any more; what was installed stays."""
    with state.client() as client:
        address = f"/shares/{find_share(client, share)['id']}"
        seen = client.send("GET", address)
        confirm(state, f"Share {seen.json()['name']} no more?")
        client.delete(address, headers={"If-Match": seen.headers["ETag"]})
    note(f"{seen.json()['name']} is shared so no more.")


def _described(described: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": described["summary"],
        "tags": list(described["tags"]),
        "unreviewed": described["unreviewed"],
    }
