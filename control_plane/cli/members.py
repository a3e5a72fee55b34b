"""`ingot member`: the people of an organization."""

from __future__ import annotations

import click

from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.references import find_project
from control_plane.cli.state import CliState, pass_state

__all__ = ["member"]

_ROLES = ("owner", "admin", "author", "reviewer", "operator", "viewer", "auditor")


@click.group()
def member() -> None:
    """Invite people."""


@member.command("invite")
@click.argument("email")
@click.option("--name", default="", help="The person's name.")
@click.option("--role", type=click.Choice(_ROLES), required=True, help="What the person may do.")
@click.option("--project", help="Only in this project; default: in the whole organization.")
@pass_state
def invite(state: CliState, email: str, name: str, role: str, project: str | None) -> None:
    """Invite EMAIL; prints a one-time password to hand over."""
    with state.client() as client:
        place = find_project(client, project)["id"] if project else ""
        shown = name or email.partition("@")[0]
        body = {"email": email, "name": shown, "role": role, "project": place}
        made = client.create("/members", body)
    if state.output == "json":
        show_one(state, made)
        return
    if not made["one_time_password"]:
        note(f"{email} has an account already and keeps its password.")
        return
    click.echo(made["one_time_password"])
    note(f"Hand it to {email} in person or by a safe way: it works once and must be changed.")


@member.command("list")
@pass_state
def list_members(state: CliState) -> None:
    """List the members and their roles."""
    with state.client() as client:
        rows = list(client.pages("/members"))
    for row in rows:
        row["roles"] = ", ".join(f"{binding['role']} of {binding['scope']}" for binding in row["bindings"])
    show_list(state, rows, ("id", "email", "name", "roles"))
