"""`ingot department`: places between an organization and its projects."""

from __future__ import annotations

import click

from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.state import CliState, confirm, pass_state

__all__ = ["department"]

_COLUMNS = ("id", "name", "title", "parent", "created_at")


@click.group()
def department() -> None:
    """Make and look at departments."""


@department.command("create")
@click.argument("name")
@click.option("--title", default="", help="A title for people.")
@click.option("--parent", default="", help="The department that it lies in; default: the organization.")
@pass_state
def create(state: CliState, name: str, title: str, parent: str) -> None:
    """Make the department NAME."""
    with state.client() as client:
        show_one(state, client.create("/departments", {"name": name, "title": title, "parent": parent}))


@department.command("list")
@pass_state
def list_departments(state: CliState) -> None:
    """List the departments that you can see."""
    with state.client() as client:
        rows = list(client.pages("/departments"))
    if state.output != "json":
        names = {row["id"]: row["name"] for row in rows}
        rows = [{**row, "parent": names.get(row["parent"], row["parent"])} for row in rows]
    show_list(state, rows, _COLUMNS)


@department.command("get")
@click.argument("department")
@pass_state
def get(state: CliState, department: str) -> None:
    """Show a department by name or id."""
    with state.client() as client:
        show_one(state, client.get(f"/departments/{department}"))


@department.command("set")
@click.argument("department")
@click.option("--title", required=True, help="The new title; the name stays.")
@pass_state
def change(state: CliState, department: str, title: str) -> None:
    """Give a department another title."""
    with state.client() as client:
        show_one(state, client.edit(f"/departments/{department}", {"title": title}))


@department.command("remove")
@click.argument("department")
@pass_state
def remove(state: CliState, department: str) -> None:
    """Remove an empty department; the roles bound there go with it."""
    confirm(state, f"Remove the department {department} and the roles bound there?")
    with state.client() as client:
        client.delete(f"/departments/{department}")
    note(f"{department} is removed.")
