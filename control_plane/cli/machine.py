"""What commands of the machine share: the data folder, the settings file and how both are read.

These commands work on files and processes of this machine, never on the API.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from control_plane.settings import Settings

__all__ = ["data_option", "load_machine", "output_option", "settings_option"]

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".ingot"),
    show_default=True,
    help="The data folder.",
)
settings_option = click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A settings file (TOML); by default ingot.toml in the data folder, if there is one.",
)
output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Output format."
)


def load_machine(data: Path, named: Path | None) -> Settings:
    """Return the settings of the Ingot on this data folder."""
    from control_plane.settings import load_settings, settings_file

    return load_settings(data, os.environ, settings_file(data, named))
