"""`ingot project`: what groups functions, keys and settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import show_list, show_one
from control_plane.cli.references import find_project
from control_plane.cli.state import CliState, pass_state

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["project"]

_COLUMNS = ("id", "name", "title", "department", "approvals", "created_at")


@click.group()
def project() -> None:
    """Make, move and look at projects."""


@project.command("create")
@click.argument("name")
@click.option("--title", default="", help="A title for people.")
@click.option("--department", default="", help="The department that it lies in; default: the organization.")
@click.option(
    "--approvals", type=click.IntRange(0, 6), default=1, show_default=True, help="Asked for a release."
)
@pass_state
def create(state: CliState, name: str, title: str, department: str, approvals: int) -> None:
    """Make the project NAME; with 0 approvals its functions stay unreviewed."""
    body = {"name": name, "title": title, "department": department, "policy": {"approvals": approvals}}
    with state.client() as client:
        show_one(state, client.create("/projects", body))


@project.command("list")
@click.option("--department", help="Only in this department and below it.")
@pass_state
def list_projects(state: CliState, department: str | None) -> None:
    """List the projects that you can see."""
    with state.client() as client:
        rows = list(client.pages("/projects", department=department))
        names = _department_names(client, rows)
    if state.output != "json":
        rows = [
            {
                **row,
                "department": names.get(row["department"] or "", row["department"]),
                "approvals": row["policy"]["approvals"],
            }
            for row in rows
        ]
    show_list(state, rows, _COLUMNS)


def _department_names(client: Client, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return what the departments of some projects are called."""
    if not any(row["department"] for row in rows):
        return {}
    return {one["id"]: one["name"] for one in client.pages("/departments")}


@project.command("get")
@click.argument("project", required=False)
@pass_state
def get(state: CliState, project: str | None) -> None:
    """Show one project."""
    with state.client() as client:
        show_one(state, find_project(client, project))


@project.command("set")
@click.argument("project")
@click.option("--title", help="Another title.")
@click.option("--department", help="Move it into this department; an empty one is the organization.")
@pass_state
def change(state: CliState, project: str, title: str | None, department: str | None) -> None:
    """Give a project another title, or move it with all roles bound to it."""
    wanted = {"title": title, "department": department}
    body = {name: value for name, value in wanted.items() if value is not None}
    with state.client() as client:
        show_one(state, client.edit(f"/projects/{project}", body))


@project.group("policy")
def policy() -> None:
    """What a project asks before a release."""


@policy.command("get")
@click.argument("project", required=False)
@pass_state
def get_policy(state: CliState, project: str | None) -> None:
    """Show a project's review policy."""
    with state.client() as client:
        found = find_project(client, project)
        show_one(state, client.get(f"/projects/{found['id']}/policy"))


@policy.command("set")
@click.argument("project")
@click.argument("file", type=click.File("r"))
@pass_state
def set_policy(state: CliState, project: str, file: TextIO) -> None:
    """Replace a project's review policy by the JSON in FILE, or - for standard input."""
    try:
        wanted = json.load(file)
    except ValueError as error:
        raise Failure(f"This is not JSON: {error}.", exit_code=ExitCode.USAGE) from error
    with state.client() as client:
        place = f"/projects/{find_project(client, project)['id']}/policy"
        tag = client.send("GET", place).headers["ETag"]
        show_one(state, client.send("PUT", place, json=wanted, headers={"If-Match": tag}).json())
