"""`ingot backup`: archives of the data folder, made while Ingot runs, checked and brought back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from control_plane.cli.machine import data_option, load_machine, output_option, settings_option
from control_plane.errors import IngotError, Invalid

__all__ = ["backup"]

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_ARCHIVE = click.argument("archive", type=_FILE)
_PASSPHRASE = click.option(
    "--passphrase-file", type=_FILE, help="A file whose first line is the passphrase of the keys."
)
_KEYS = click.option("--keys", type=_FILE, help="The file with the keys, when they were kept apart.")
_FOLDER = Path("ingot-backups")


@click.group()
def backup() -> None:
    """Back the data folder up, and bring it back."""


@backup.command()
@data_option
@settings_option
@output_option
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=_FOLDER,
    show_default=True,
    help="The folder for archives; best on another disk.",
)
@_PASSPHRASE
def create(
    data: Path, settings_file: Path | None, output: str, into: Path, passphrase_file: Path | None
) -> None:
    """Make an archive of everything that cannot be made anew; Ingot may run meanwhile.

    With --passphrase-file the keys are sealed inside the archive, else they are
    written to a file of their own, to be kept apart from it.
    """
    from control_plane.bootstrap import backup as backups
    from control_plane.cli.main import VERSION

    settings = load_machine(data, settings_file)
    if into.absolute().is_relative_to(settings.data):
        raise Invalid("The archive would lie in what it saves.", field="into", hint="Name another folder.")
    made = backups.create(settings, into, _passphrase(passphrase_file), VERSION)
    if output == "json":
        keys = str(made.keys) if made.keys else None
        found = {"archive": str(made.archive), "keys": keys, "size": made.size, "members": made.members}
        click.echo(json.dumps(found | {"damaged": list(made.damaged)}))
    else:
        click.echo(f"{made.archive}  {made.size:,} bytes, {made.members:,} files")
        if made.keys:
            click.echo(f"{made.keys}  opens every secret in it: keep it somewhere else.")
    for name in made.damaged:
        click.echo(f"The blob {name} is damaged in the data folder itself.", err=True)
    if made.damaged:
        raise SystemExit(1)


@backup.command(name="list")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=_FOLDER)
@output_option
def list_backups(folder: Path, output: str) -> None:
    """List the archives in FOLDER, newest first."""
    rows = [_row(path) for path in sorted(folder.glob("ingot-*.tar"), reverse=True)]
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(
            f"{row['name']}  {row['created'] or '-':<24}  {row['size']:>15,}  keys {row['keys'] or '-'}"
        )
        if row["problem"]:
            click.echo(f"  {row['problem']}")
    if not rows:
        click.echo(f"There is no archive in {folder}.", err=True)


@backup.command()
@_ARCHIVE
@_PASSPHRASE
@_KEYS
@output_option
def verify(archive: Path, passphrase_file: Path | None, keys: Path | None, output: str) -> None:
    """Read all of ARCHIVE and say whether it would bring everything back.

    With the keys the signatures of the audit checkpoints are checked too.
    """
    from control_plane.bootstrap import backup as backups

    known = backups.keys_of(archive, _passphrase(passphrase_file), keys) if passphrase_file or keys else None
    checked = backups.check(archive, known)
    if output == "json":
        found = {"ok": not checked.findings, "findings": list(checked.findings)}
        click.echo(json.dumps(found | {"signatures": checked.signatures}))
    else:
        for finding in checked.findings:
            click.echo(finding)
        if not checked.findings:
            unchecked = "" if checked.signatures else " Signatures were not checked: that needs the keys."
            count = len(checked.manifest.members)
            click.echo(
                f"Whole: {count:,} files, {len(checked.manifest.databases)} databases, audit.{unchecked}"
            )
    if checked.findings:
        raise SystemExit(1)


@backup.command()
@_ARCHIVE
@data_option
@_PASSPHRASE
@_KEYS
def restore(archive: Path, data: Path, passphrase_file: Path | None, keys: Path | None) -> None:
    """Bring ARCHIVE back into a new or empty data folder: all of it or nothing."""
    from control_plane.bootstrap import backup as backups

    settings = load_machine(data, None)
    known = backups.keys_of(archive, _passphrase(passphrase_file), keys)
    done = backups.restore(archive, settings, known, lambda line: click.echo(f"  {line}", err=True))
    click.echo(f"Restored {done.files:,} files and {done.layers:,} layers into {settings.data}.")
    click.echo(f"Start it with `ingot up --data {data}`.")


def _passphrase(file: Path | None) -> str:
    if file is None:
        return ""
    lines = file.read_text().splitlines()
    if not lines or not lines[0]:
        raise Invalid(f"{file} is empty.", field="passphrase-file", hint="Its first line is the passphrase.")
    return lines[0]


def _row(path: Path) -> dict[str, Any]:
    from control_plane.backup.archive import read_manifest

    row: dict[str, Any] = {"name": path.name, "size": path.stat().st_size}
    try:
        manifest = read_manifest(path)
    except IngotError as error:
        return row | {"created": None, "keys": None, "problem": error.message}
    created = datetime.fromtimestamp(manifest.created_ms / 1000, UTC).isoformat(timespec="seconds")
    return row | {"created": created, "keys": manifest.keys, "problem": None}
