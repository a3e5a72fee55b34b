"""`ingot preview`: an address for a draft or a version before anybody has reviewed it."""

from __future__ import annotations

import click

from control_plane.cli.output import next_step, note, show_list, show_one
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, pass_state

__all__ = ["preview"]


@click.group()
def preview() -> None:
    """Try a draft or a version by real calls, before a review."""


@preview.command("start")
@click.argument("function", required=False)
@click.option("--version", "number", type=int, help="A version; default: the draft as it is on the server.")
@pass_state
def start(state: CliState, function: str | None, number: int | None) -> None:
    """Give FUNCTION's draft, or a version, an address and a key of its own."""
    with state.client(timeout_s=300) as client:
        found = find_function(client, function)
        made = client.create(f"/functions/{found['id']}/previews", {"version": number})
    show_one(state, made, ("id", "url", "key", "version", "digest", "expires_at"))
    note("Nobody has reviewed what runs there; the key is not shown again.")
    tag = made["path"].rpartition("@")[2]
    next_step(state, f"ingot invoke {found['name']} --version {tag} --key {made['key']} --data '{{}}'")


@preview.command("list")
@click.argument("function", required=False)
@pass_state
def list_previews(state: CliState, function: str | None) -> None:
    """List what is previewed of FUNCTION, by anybody."""
    with state.client() as client:
        found = find_function(client, function)
        rows = list(client.pages(f"/functions/{found['id']}/previews"))
    show_list(state, rows, ("id", "kind", "version", "user", "path", "expires_at"))


@preview.command("end")
@click.argument("function")
@click.argument("preview_id", metavar="PREVIEW")
@pass_state
def end(state: CliState, function: str, preview_id: str) -> None:
    """End PREVIEW; its address and key are gone."""
    with state.client() as client:
        found = find_function(client, function)
        client.delete(f"/functions/{found['id']}/previews/{preview_id}")
    note(f"Ended {preview_id}.")
