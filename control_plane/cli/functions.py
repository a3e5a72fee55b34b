"""`ingot function`: create, find, describe, retire and restore functions."""

from __future__ import annotations

from typing import Any

import click

from control_plane.cli.output import next_step, note, show_list, show_one
from control_plane.cli.references import find_function, find_project
from control_plane.cli.state import CliState, confirm, pass_state

__all__ = ["function"]

_COLUMNS = ("name", "project_name", "path", "state", "latest", "live_versions", "unreviewed", "updated_at")


@click.group()
def function() -> None:
    """Create, find, describe, retire and restore functions."""


@function.command("create")
@click.argument("name")
@click.option("--project", help="Name or id of the project; not needed when there is one only.")
@click.option("--title", default="", help="A title for people.")
@pass_state
def create(state: CliState, name: str, project: str | None, title: str) -> None:
    """Create the function NAME with an empty draft."""
    with state.client() as client:
        place = find_project(client, project)
        made = client.create("/functions", {"project": place["id"], "name": name, "title": title})
    show_one(state, made)
    next_step(state, f"ingot draft push {name}, in the folder with its code (ingot init makes one).")


@function.command("list")
@click.option("--project", help="Only this project's functions.")
@click.option("--state", "wanted", type=click.Choice(["live", "idle", "removed"]), help="Only these.")
@click.option("--runtime", help="Only those whose newest version runs on it, e.g. python3.11.")
@click.option("--search", help="Only those with this in their name or title.")
@click.option(
    "--sort",
    type=click.Choice([f"{sign}{by}" for by in ("name", "created", "updated") for sign in ("", "-")]),
    default="created",
    show_default=True,
    help="The order; with a minus, the last comes first.",
)
@pass_state
def list_functions(
    state: CliState,
    project: str | None,
    wanted: str | None,
    runtime: str | None,
    search: str | None,
    sort: str,
) -> None:
    """List the functions that you can see."""
    with state.client() as client:
        place = find_project(client, project)["id"] if project else None
        found = client.pages(
            "/functions", project=place, state=wanted, runtime=runtime, search=search, sort=sort
        )
        show_list(state, list(found), _COLUMNS)


@function.command("get")
@click.argument("function", required=False)
@pass_state
def get(state: CliState, function: str | None) -> None:
    """Show one function."""
    with state.client() as client:
        show_one(state, find_function(client, function))


@function.command("describe")
@click.argument("function")
@click.option("--title", help="A title for people.")
@click.option("--description", help="What it does.")
@click.option(
    "--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label; all given ones replace the old."
)
@pass_state
def describe(
    state: CliState, function: str, title: str | None, description: str | None, labels: tuple[str, ...]
) -> None:
    """Change the title, description or labels of FUNCTION."""
    given: dict[str, Any] = {"title": title, "description": description}
    if labels:
        given["labels"] = dict(label.partition("=")[::2] for label in labels)
    body = {name: value for name, value in given.items() if value is not None}
    with state.client() as client:
        path = f"/functions/{find_function(client, function)['id']}"
        etag = client.send("GET", path).headers["ETag"]
        answer = client.send("PATCH", path, json=body, headers={"If-Match": etag})
    show_one(state, answer.json())


@function.command("retire")
@click.argument("function")
@pass_state
def retire(state: CliState, function: str) -> None:
    """Take FUNCTION down: no call reaches it any more; its name and history stay."""
    with state.client() as client:
        found = find_function(client, function)
        confirm(state, f"No call will reach {found['path']} any more. Go on?")
        client.delete(f"/functions/{found['id']}")
    note(f"Took {found['path']} down; `ingot function restore` brings it back.")


@function.command("takedown")
@click.argument("function")
@click.option("--version", "number", type=int, help="Only this version; default: every one that may run.")
@click.option("--reason", required=True, help="Why; whoever is asked to reinstate it reads it.")
@pass_state
def take_down(state: CliState, function: str, number: int | None, reason: str) -> None:
    """Stop FUNCTION at once: its versions run no more until a review reinstates them."""
    with state.client() as client:
        found = find_function(client, function)
        what = f"Version {number}" if number else "Every version"
        confirm(state, f"{what} of {found['path']} stops running until a review reinstates it. Go on?")
        body = {"reason": reason, "version": number}
        taken = client.post(f"/functions/{found['id']}/takedown", body)
    show_one(state, taken)
    note("`ingot submit --kind reinstate` asks for a review that lets a version back.")


@function.command("restore")
@click.argument("function")
@pass_state
def restore(state: CliState, function: str) -> None:
    """Bring FUNCTION back, idle; release a version to let calls in."""
    with state.client() as client:
        found = find_function(client, function)
        shown = client.post(f"/functions/{found['id']}/restore")
    show_one(state, shown)
