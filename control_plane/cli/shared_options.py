"""`-o` and `--yes` on every command, so that they work before and after its name."""

from __future__ import annotations

from typing import Any

import click

from control_plane.cli.state import CliState

__all__ = ["add_shared_options"]


def add_shared_options(command: click.Command) -> click.Command:
    """Give the command, and those below it, the root's options; repeating it changes nothing."""
    if isinstance(command, click.Group):
        for child in command.commands.values():
            add_shared_options(child)
    known = {flag for option in command.params for flag in option.opts}
    if not isinstance(command, click.Group) or command.invoke_without_command:
        if "--output" not in known:
            command.params.append(
                click.Option(
                    ["-o", "--output"],
                    type=click.Choice(["table", "json"]),
                    expose_value=False,
                    callback=_remember,
                    help="How results are printed.",
                )
            )
        if "--yes" not in known:
            command.params.append(
                click.Option(
                    ["-y", "--yes"],
                    is_flag=True,
                    expose_value=False,
                    callback=_remember,
                    help="Answer every question with yes.",
                )
            )
    return command


def _remember(context: click.Context, option: click.Parameter, value: Any) -> Any:
    state = context.find_object(CliState)
    if state is not None and value and option.name is not None:
        setattr(state, option.name, value)
    return value
