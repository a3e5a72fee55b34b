"""`ingot cleanup`: shows or removes what is over, as the running Ingot does by itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from control_plane.cli.machine import data_option, load_machine, output_option, settings_option

__all__ = ["cleanup"]


@click.command()
@data_option
@settings_option
@output_option
@click.option("--dry-run", is_flag=True, help="Only show everything that is over, with counts and bytes.")
def cleanup(data: Path, settings_file: Path | None, output: str, dry_run: bool) -> None:
    """Remove one batch of each kind of thing whose time is over.

    The retention settings say what that is (`ingot settings explain`). Content
    goes only when it was seen to be unneeded a whole grace ago.
    """
    from control_plane.bootstrap.cleanup import make_cleanup

    made = make_cleanup(load_machine(data, settings_file))
    removals = made.preview() if dry_run else made.clean()
    if output == "json":
        click.echo(json.dumps([asdict(one) for one in removals]))
        return
    for one in removals:
        size = f"{one.size:>15,} bytes" if one.size else ""
        click.echo(f"{one.kind:<20} {one.count:>12,} {size}".rstrip())
