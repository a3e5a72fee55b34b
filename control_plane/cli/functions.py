"""`ingot function`: create and look at functions."""

from __future__ import annotations

import click

from control_plane.cli.output import show_list, show_one
from control_plane.cli.references import find_function, find_project
from control_plane.cli.state import CliState, pass_state

__all__ = ["function"]

_COLUMNS = ("name", "project_name", "path", "latest", "live_versions", "created_at")


@click.group()
def function() -> None:
    """Create and look at functions."""


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


@function.command("list")
@click.option("--project", help="Only this project's functions.")
@pass_state
def list_functions(state: CliState, project: str | None) -> None:
    """List the functions that you can see."""
    with state.client() as client:
        place = find_project(client, project)["id"] if project else None
        show_list(state, list(client.pages("/functions", project=place)), _COLUMNS)


@function.command("get")
@click.argument("function", required=False)
@pass_state
def get(state: CliState, function: str | None) -> None:
    """Show one function."""
    with state.client() as client:
        show_one(state, find_function(client, function))
