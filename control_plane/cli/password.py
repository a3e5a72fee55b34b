"""`ingot password`: change one's own password."""

from __future__ import annotations

import sys

import click

from control_plane.cli.account import ask
from control_plane.cli.output import note
from control_plane.cli.state import CliState, pass_state

__all__ = ["password"]


@click.command()
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the present and the new password from two lines of standard input.",
)
@pass_state
def password(state: CliState, password_stdin: bool) -> None:
    """Change your own password; your open sessions end, your tokens stay."""
    if password_stdin:
        present, chosen = (sys.stdin.readline().rstrip("\n") for _ in range(2))
    else:
        present = ask("Present password", hidden=True)
        chosen = ask("New password", hidden=True, twice=True)
    with state.client() as client:
        body = {"current_password": present, "new_password": chosen}
        client.send("PUT", "/me/password", json=body)
    note("Your password is changed. Sign in again where you used the console.")
