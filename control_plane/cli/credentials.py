"""`ingot session` and `ingot token`: what proves who you are, and how to end it."""

from __future__ import annotations

import click

from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.state import CliState, confirm, pass_state

__all__ = ["session", "token"]


@click.group()
def session() -> None:
    """Look at your open sessions and end them."""


@session.command("list")
@pass_state
def list_sessions(state: CliState) -> None:
    """List your open sessions."""
    columns = ("id", "address", "created_at", "used_at", "expires_at", "current")
    with state.client() as client:
        show_list(state, list(client.pages("/sessions")), columns)


@session.command("revoke")
@click.argument("session", required=False)
@click.option("--all", "everything", is_flag=True, help="End every session of yours.")
@pass_state
def revoke_session(state: CliState, session: str | None, everything: bool) -> None:
    """End one SESSION, or all of them."""
    if (session is None) != everything:
        raise click.UsageError("Name one session, or use --all.")
    confirm(state, "End all your sessions?" if everything else f"End {session}?")
    with state.client() as client:
        client.delete("/sessions" if everything else f"/sessions/{session}")
    note("Ended.")


@click.group()
def token() -> None:
    """Make personal tokens, look at them and end them."""


@token.command("create")
@click.argument("name")
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="The token's life.")
@click.option(
    "--permission", "permissions", multiple=True, help="A right that it carries; default: all that you hold."
)
@click.option("--project", default="", help="It opens only this project.")
@click.option("--department", default="", help="It opens only this department.")
@pass_state
def create_token(
    state: CliState, name: str, days: int, permissions: tuple[str, ...], project: str, department: str
) -> None:
    """Make the token NAME; its text is shown this one time."""
    body = {
        "name": name,
        "days": days,
        "permissions": list(permissions),
        "project": project,
        "department": department,
    }
    with state.client() as client:
        made = client.create("/tokens", body)
    if state.output == "json":
        show_one(state, made)
        return
    click.echo(made["text"])
    note(f"Token {made['token']['id']}. Keep it now: it is not shown again.")


@token.command("list")
@pass_state
def list_tokens(state: CliState) -> None:
    """List your tokens, revoked ones too."""
    with state.client() as client:
        rows = list(client.pages("/tokens"))
    for row in rows:
        row["carries"] = "everything" if row["restriction"] is None else _carried(row["restriction"])
    show_list(state, rows, ("id", "name", "hint", "carries", "used_at", "expires_at", "revoked_at"))


@token.command("revoke")
@click.argument("token")
@pass_state
def revoke_token(state: CliState, token: str) -> None:
    """End one TOKEN at once."""
    confirm(state, f"Revoke {token}?")
    with state.client() as client:
        client.delete(f"/tokens/{token}")
    note(f"{token} is revoked.")


def _carried(restriction: dict[str, list[str]]) -> str:
    return f"{', '.join(restriction['permissions'])} at {restriction['scope']}"
