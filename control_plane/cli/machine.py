"""What commands of the machine share: the data folder, the settings file and how both are read.

These commands work on files and processes of this machine, never on the API.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from control_plane.settings import Settings

__all__ = [
    "data_option",
    "file_in_force",
    "load_machine",
    "locate_machine",
    "nearest_data",
    "output_option",
    "settings_option",
]

_DATA: Final = Path(".ingot")


def nearest_data() -> Path:
    """Return the data folder here or in a folder above, as one works in a function's folder below it."""
    here = Path.cwd()
    for folder in here.parents if not (here / _DATA / "keys").is_dir() else ():
        if (folder / _DATA / "keys").is_dir():
            # Whole, since the run folder's name is made of it.
            return folder / _DATA
    return _DATA


data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=nearest_data,
    show_default=".ingot here or in a folder above",
    help="The data folder.",
)
settings_option = click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A settings file (TOML); by default the running Ingot's, else ingot.toml in the data folder.",
)
output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Output format."
)


def locate_machine(data: Path) -> Settings:
    """Return where the Ingot on this data folder is, unconfigured: enough to look at it or to stop it."""
    from control_plane.settings import Settings, run_folder

    data = data.absolute()
    return Settings(data=data, run=run_folder(data, os.environ))


def file_in_force(data: Path, named: Path | None) -> Path | None:
    """Return the settings file to read: the named one, else what the Ingot that runs here was started with.

    Where none runs, or it was started without one, the data folder's own if there is one.
    """
    from control_plane.settings import settings_file
    from control_plane.supervisor.lock import recorded

    started_with = "" if named else recorded(data).get("settings", "")
    return Path(started_with) if started_with else settings_file(data, named)


def load_machine(data: Path, named: Path | None) -> Settings:
    """Return the settings of the Ingot on this data folder."""
    from control_plane.settings import load_settings

    return load_settings(data, os.environ, file_in_force(data, named))
