"""What every command shares: the chosen server, the output format and whether to ask."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.profiles import Profile, load

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["CliState", "confirm", "pass_state"]


@dataclass(slots=True)
class CliState:
    """The options of the root command."""

    url: str | None = None
    output: str = "table"
    yes: bool = False

    def profile(self) -> Profile:
        """Return where and as whom to act."""
        return load(self.url)

    def client(self, timeout_s: float = 60.0) -> Client:
        """Return a client; importing it costs time, so only commands that run do."""
        from control_plane.cli.client import Client

        return Client(self.profile(), timeout_s)


pass_state = click.make_pass_decorator(CliState, ensure=True)


def confirm(state: CliState, question: str) -> None:
    """Ask before what cannot be undone; without a terminal, `--yes` is required."""
    if state.yes:
        return
    if not sys.stdin.isatty():
        raise Failure(
            f"{question} Nobody is there to answer.",
            hint="Add --yes to the command to go on without a question.",
            exit_code=ExitCode.USAGE,
        )
    click.confirm(question, abort=True)
