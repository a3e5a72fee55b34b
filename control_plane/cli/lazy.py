"""A click group whose commands are imported only when they run, so that `ingot --help` is instant.

The table of commands holds their one-line help; a test keeps both in step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from control_plane.cli.shared_options import add_shared_options

__all__ = ["LazyCommand", "LazyGroup"]


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command lives, and what `--help` says before it is imported."""

    module: str
    attribute: str
    help: str
    # Takes the root's options after its name too.
    shares_options: bool = True


class LazyGroup(click.Group):
    """Imports a command's module on first use."""

    def __init__(self, *args: Any, lazy: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = {name: command for name, command in lazy.items() if find_spec(command.module)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every name, without importing anything."""
        return sorted({*self._lazy, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command that runs now."""
        found = self._lazy.get(cmd_name)
        if found is None:
            return super().get_command(ctx, cmd_name)
        command = getattr(import_module(found.module), found.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{found.module}:{found.attribute} is not a command")
        return add_shared_options(command) if found.shares_options else command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; of a name that does not exist, say the nearest ones."""
        name = args[0]
        if name not in self.list_commands(ctx) and not name.startswith("-"):
            near = get_close_matches(name, [known for known in self._lazy if known[0] != "_"])
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"There is no command “{name}”.{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List names and helps from the table."""
        rows = [(name, self._lazy[name].help) for name in self.list_commands(ctx) if name in self._lazy]
        with formatter.section("Commands"):
            formatter.write_dl([row for row in rows if not row[0].startswith("_")])
