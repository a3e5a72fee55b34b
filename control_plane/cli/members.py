"""`ingot member`: the people of an organization, their roles, and why somebody may do something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.state import CliState, confirm, pass_state

__all__ = ["member"]

_ROLES = (
    "owner",
    "admin",
    "author",
    "reviewer",
    "operator",
    "viewer",
    "auditor",
    "billing",
    "guest",
)
_Command = Callable[..., Any]


def _placed(command: _Command) -> _Command:
    """Let a command say where a role holds."""
    options = (
        click.option("--project", default="", help="Only in this project; default: the whole organization."),
        click.option("--department", default="", help="Only in this department and below it."),
    )
    for option in options:
        command = option(command)
    return command


_role = click.option("--role", type=click.Choice(_ROLES), required=True, help="What the person may do.")
_system = click.option("--system", is_flag=True, help="In the whole system, above all organizations.")


@click.group()
def member() -> None:
    """Invite people, and say what they may do."""


@member.command("invite")
@click.argument("email")
@click.option("--name", default="", help="The person's name.")
@_role
@_placed
@pass_state
def invite(state: CliState, email: str, name: str, role: str, project: str, department: str) -> None:
    """Invite EMAIL; prints a one-time password to hand over."""
    shown = name or email.partition("@")[0]
    body = {"email": email, "name": shown, "role": role, "project": project, "department": department}
    with state.client() as client:
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
@click.option("--system", is_flag=True, help="Those who hold a role above all organizations.")
@click.option("--role", type=click.Choice(_ROLES), help="Only those who hold it, wherever.")
@click.option("--search", help="Only those with this in their e-mail address or name.")
@click.option("--disabled/--enabled", default=None, help="Only those who may do nothing, or only the others.")
@pass_state
def list_members(
    state: CliState, system: bool, role: str | None, search: str | None, disabled: bool | None
) -> None:
    """List the members and their roles."""
    off = None if disabled is None else str(disabled).lower()
    wanted: dict[str, Any] = {"role": role, "search": search, "disabled": off}
    if system and any(wanted.values()):
        raise click.UsageError("Roles above all organizations are few: --system lists all of them.")
    with state.client() as client:
        rows = list(client.pages("/system/members") if system else client.pages("/members", **wanted))
    show_list(state, [_with_roles(row) for row in rows], ("id", "email", "name", "roles", "disabled_at"))


@member.command("get")
@click.argument("user")
@pass_state
def get(state: CliState, user: str) -> None:
    """Show the member USER (id or e-mail)."""
    with state.client() as client:
        row = _with_roles(client.get(f"/members/{user}"))
    show_one(state, row, ("id", "email", "name", "roles", "verified_by", "created_at", "disabled_at"))


@member.command("grant")
@click.argument("user")
@_role
@_placed
@_system
@pass_state
def grant(state: CliState, user: str, role: str, project: str, department: str, system: bool) -> None:
    """Give the member USER one more role; nobody gives what they do not hold."""
    body = {"role": role, "project": project, "department": department, "system": system}
    with state.client() as client:
        row = _with_roles(client.post(f"/members/{user}/roles", body))
    show_one(state, row, ("id", "email", "roles"))


@member.command("revoke")
@click.argument("user")
@_role
@_placed
@_system
@pass_state
def revoke(state: CliState, user: str, role: str, project: str, department: str, system: bool) -> None:
    """Take a role away from the member USER; the last owner stays."""
    confirm(state, f"Take the role {role} away from {user}?")
    place = {"project": project, "department": department, "system": "true" if system else ""}
    with state.client() as client:
        named = {name: value for name, value in place.items() if value}
        client.send("DELETE", f"/members/{user}/roles/{role}", params=named)
    note(f"{user} is no {role} there any more.")


@member.command("disable")
@click.argument("user")
@pass_state
def disable(state: CliState, user: str) -> None:
    """Let the member USER do nothing here; their sessions and tokens end, their roles stay."""
    confirm(state, f"Disable {user}?")
    with state.client() as client:
        client.post(f"/members/{user}/disable")
    note(f"{user} is disabled.")


@member.command("enable")
@click.argument("user")
@pass_state
def enable(state: CliState, user: str) -> None:
    """Let the disabled member USER do again what their roles say."""
    with state.client() as client:
        client.post(f"/members/{user}/enable")
    note(f"{user} is enabled.")


@member.command("remove")
@click.argument("user")
@pass_state
def remove(state: CliState, user: str) -> None:
    """End the membership of USER with all its roles, sessions and tokens."""
    confirm(state, f"Remove {user} from the organization?")
    with state.client() as client:
        client.delete(f"/members/{user}")
    note(f"{user} is no member any more.")


@member.command("explain")
@click.argument("user")
@click.argument("permission")
@click.option("--scope", default="", help="A project or department, acme/sales/web, or system; default: all.")
@pass_state
def explain(state: CliState, user: str, permission: str, scope: str) -> None:
    """Say why USER (id or e-mail) holds PERMISSION somewhere, or what is missing."""
    with state.client() as client:
        answer = client.get("/access/explain", user=user, permission=permission, scope=scope)
    if state.output == "json":
        show_one(state, answer)
        return
    verdict = "may" if answer["allowed"] else "may not"
    click.echo(f"{answer['email']} {verdict} {permission} at {answer['place']}.")
    if answer["disabled"]:
        click.echo("The member is disabled here.")
    show_list(state, answer["bindings"], ("role", "place", "carries", "reaches", "allows"))
    if answer["missing_roles"]:
        note(f"Missing there: one of {', '.join(answer['missing_roles'])}.")


@member.command("roles")
@pass_state
def roles(state: CliState) -> None:
    """List the roles and what each may do."""
    with state.client() as client:
        rows = list(client.pages("/roles"))
    if state.output != "json":
        rows = [{**row, "permissions": ", ".join(row["permissions"])} for row in rows]
    show_list(state, rows, ("name", "permissions"))


def _with_roles(row: dict[str, Any]) -> dict[str, Any]:
    held = ", ".join(f"{binding['role']} of {binding['place']}" for binding in row["bindings"])
    return {**row, "roles": held}
