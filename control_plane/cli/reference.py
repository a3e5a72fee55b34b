"""Writes the CLI reference from the commands themselves, so that no option can be forgotten.

docs/cli.md explains; this lists. `scripts/cli_page.py` writes the page and a test keeps it fresh.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

__all__ = ["cli_reference"]

_INTRODUCTION: Final = """# CLI reference

Every command of `ingot` with its arguments and options, written by
`scripts/cli_page.py` from the commands themselves.
How they work together, exit codes and variables are in [the `ingot` command](cli.md).
"""


def cli_reference(root: click.Group) -> str:
    """Return the page for the tree of commands below `root`."""
    # With what a run has, as click keeps the help option of whichever context asked first.
    context = click.Context(root, info_name="ingot", **root.context_settings)
    lines = [_INTRODUCTION, "## ingot\n", *_body(root, context)]
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        if command is not None and not command.hidden and not name.startswith("_"):
            lines += _command(command, click.Context(command, info_name=name, parent=context), 2)
    return "\n".join(lines) + "\n"


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {context.command_path}\n"
    yield from _body(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from _command(below, click.Context(below, info_name=name, parent=context), level + 1)


def _body(command: click.Command, context: click.Context) -> Iterator[str]:
    if command.help:
        yield " ".join(command.help.split("\f")[0].split()) + "\n"
    if not isinstance(command, click.Group):
        yield f"    {' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n"
    options = [
        (names, help_text)
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        and not parameter.hidden
        and (record := parameter.get_help_record(context)) is not None
        for names, help_text in [record]
    ]
    if options:
        yield "| option | meaning |"
        yield "|---|---|"
        for names, help_text in options:
            meaning = " ".join(help_text.split()).replace("|", "\\|")
            yield f"| `{names.replace('|', chr(92) + '|')}` | {meaning} |"
        yield ""
