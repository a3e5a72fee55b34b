"""`ingot migrate`: the databases' newest schema, before anything of a new Ingot starts."""

from __future__ import annotations

from pathlib import Path

import click

from control_plane.cli.machine import data_option, load_machine, settings_option

__all__ = ["migrate"]


@click.command()
@data_option
@settings_option
def migrate(data: Path, settings_file: Path | None) -> None:
    """Bring the databases to the newest schema, and start nothing.

    `ingot up` does so too. On its own it is for upgrades where the databases
    are servers: run it first, with the new Ingot's code and the owner's rights.
    It may be run at any time, and by several at once: the others wait.
    """
    from control_plane.bootstrap.databases import migrate_databases

    migrate_databases(load_machine(data, settings_file))
    click.echo("The databases have the newest schema.")
