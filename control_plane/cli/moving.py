"""`ingot export` and `ingot import`: a function as one file, from one Ingot to another."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import note, progress, show_list
from control_plane.cli.references import find_function, find_project
from control_plane.cli.state import CliState, pass_state

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["await_export", "export", "fetch_export", "import_file"]

_TYPE: Final = "application/x-tar"
_WAIT_S: Final = 120.0


@click.command("export")
@click.argument("function", required=False)
@click.option("--version", "numbers", type=int, multiple=True, help="Only this version; may be repeated.")
@click.option(
    "--to", "target", type=click.Path(path_type=Path, dir_okay=False), help="The file; default: NAME.ingot."
)
@pass_state
def export(state: CliState, function: str | None, numbers: tuple[int, ...], target: Path | None) -> None:
    """Write FUNCTION with its versions, and who approved them, to one file for another Ingot."""
    with state.client(timeout_s=900) as client:
        found = find_function(client, function)
        path = target or Path(f"{found['name']}.ingot")
        made = fetch_export(client, found["id"], numbers, path)
    listed = ", ".join(str(number) for number in made["numbers"])
    note(f"Wrote version {listed} of {found['name']} to {path} ({path.stat().st_size:,} bytes).")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--project", help="Name or id of the project; not needed when there is one only.")
@click.option("--name", default="", help="What to call the function here; default: as it is called there.")
@pass_state
def import_file(state: CliState, file: Path, project: str | None, name: str) -> None:
    """Bring in the function in FILE, all of it or nothing; the same file again changes nothing."""
    with state.client(timeout_s=900) as client, file.open("rb") as content:
        place = find_project(client, project)
        size = str(file.stat().st_size)
        with progress(f"Bringing {file.name} in"):
            made = client.send(
                "POST",
                f"/projects/{place['id']}/imports",
                params={"name": name or None},
                content=content,
                headers={"Content-Type": _TYPE, "Content-Length": size},
            ).json()
    show_list(state, made["versions"], ("number", "digest", "source_number", "new", "approvals"))
    unapproved = [one for one in made["versions"] if not one["approvals"]]
    if unapproved:
        note(f"No approval came that counts here. Next: ingot submit {made['name']}")
    else:
        note(f"Next: ingot release apply {made['name']}")


def fetch_export(client: Client, function: str, numbers: tuple[int, ...], path: Path) -> Any:
    """Write a function's file to `path`, whole or not at all; return the export."""
    made = client.create(f"/functions/{function}/exports", {"versions": list(numbers)})
    made = await_export(client, function, made)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as sink, progress(f"Writing {path.name}"):
            client.copy(f"/functions/{function}/exports/{made['id']}/file", sink, {})
        _check_whole(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return made


def await_export(client: Client, function: str, export: Any) -> Any:
    """Return the export once the worker has signed it; a refused one ends the command with its reason."""
    deadline = time.monotonic() + _WAIT_S
    with progress("Signing"):
        while export["state"] == "waiting":
            if time.monotonic() >= deadline:
                raise Failure(
                    f"Nobody has signed the export after {_WAIT_S:.0f} s.",
                    hint="`ingot status` shows whether the worker runs.",
                    exit_code=ExitCode.UNAVAILABLE,
                )
            time.sleep(0.1)
            export = client.get(f"/functions/{function}/exports/{export['id']}")
    if export["state"] == "refused":
        raise Failure(export["message"], exit_code=ExitCode.CONFLICT)
    return export


def _check_whole(path: Path) -> None:
    """Refuse what a broken line left: the file ends in two empty blocks and in nothing else."""
    with path.open("rb") as content:
        size = content.seek(0, io.SEEK_END)
        content.seek(max(0, size - 1_024))
        if size % 512 or content.read() != bytes(1_024):
            raise Failure(
                "The file was cut off on its way.", hint="Try again.", exit_code=ExitCode.UNAVAILABLE
            )
