"""`ingot settings`: the settings of the machine, as they are in force."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from control_plane.cli.machine import data_option, file_in_force, output_option, settings_option
from control_plane.cli.output import note

__all__ = ["settings"]


@click.group()
def settings() -> None:
    """Show how this machine's Ingot is set up."""


@settings.command()
@click.argument("name", required=False, default="")
@data_option
@settings_option
@output_option
def explain(name: str, data: Path, settings_file: Path | None, output: str) -> None:
    """Show the value, source, unit and meaning of every setting, or of NAME."""
    from control_plane.settings_explained import explain as explained
    from control_plane.supervisor.lock import recorded

    file = file_in_force(data, settings_file)
    found = explained(data, os.environ, file, name)
    running = recorded(data).get("settings")
    note(f"The settings file is {file}." if file else "There is no settings file.")
    if running is not None and running != (str(file.absolute()) if file else ""):
        note(f"The Ingot that runs here was started {f'with {running}' if running else 'without one'}.")
    if output == "json":
        click.echo(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
        return
    if name:
        one = found[0]
        rows = [(field, value) for field, value in asdict(one).items() if value != ""]
        for field, value in rows:
            click.echo(f"{field:<9} {value}")
        return
    width = max(len(one.name) for one in found)
    for one in found:
        value = "(empty)" if one.value == "" else one.value
        click.echo(f"{one.name:<{width}}  {value!s:<24}  {one.source}")
