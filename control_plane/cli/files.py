"""`ingot file`: send and fetch large inputs and outputs."""

from __future__ import annotations

import base64
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from control_plane.cli.downloads import download
from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import note, progress, show_list, show_one
from control_plane.cli.references import find_project
from control_plane.cli.state import CliState, confirm, pass_state

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["fetch_file", "file"]

_API = "/api/v1"
_SHOWN = ("id", "name", "size", "content_type", "state", "sha256", "created_at", "expires_at")


@click.group()
def file() -> None:
    """Keep large inputs and outputs."""


@file.command("put")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--project", help="Name or id of the project; not needed when there is one only.")
@click.option("--name", help="The file's name there; default: its own.")
@click.option("--content-type", help="Its kind; default: told by its name.")
@click.option("--days", type=int, default=30, show_default=True, help="After these it is deleted.")
@pass_state
def put(
    state: CliState, path: Path, project: str | None, name: str | None, content_type: str | None, days: int
) -> None:
    """Send the file at PATH; prints its id."""
    with state.client(timeout_s=900) as client:
        place = find_project(client, project)
        with path.open("rb") as content, progress(f"Sending {path.name}"):
            digest = sha256()
            size = 0
            while chunk := content.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
            content.seek(0)
            made = client.create(
                "/files",
                {
                    "project": place["id"],
                    "name": name or path.name,
                    "size": size,
                    "content_type": content_type or guess_type(path.name)[0] or "application/octet-stream",
                    "sha256": f"sha256:{digest.hexdigest()}",
                    "days": days,
                },
            )
            link = made["upload"]["url"].removeprefix(_API)
            # The length is announced, so it travels with the request and not in chunks.
            stored = client.send("PUT", link, content=content, headers={"Content-Length": str(size)}).json()
    if state.output == "json":
        show_one(state, stored)
    else:
        click.echo(stored["id"])
        note(f"{stored['name']}, {size:,} bytes, is kept until {stored['expires_at']}.")


@file.command("get")
@click.argument("file")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the bytes to this file.")
@click.option("--link", is_flag=True, help="Print an address that gives the bytes for five minutes.")
@pass_state
def get(state: CliState, file: str, save: Path | None, link: bool) -> None:
    """Show FILE, or fetch its bytes with --save."""
    with state.client(timeout_s=900) as client:
        if link:
            made = client.send("POST", f"/files/{file}/links").json()
            click.echo(client.profile.url + made["url"])
            return
        shown = client.get(f"/files/{file}")
        if save is None:
            show_one(state, shown, _SHOWN)
            return
        with progress(f"Fetching {shown['name']}"):
            size = download(client, shown, save)
    note(f"Wrote {size:,} bytes to {save}.")


@file.command("list")
@click.option("--project", help="Name or id of the project; not needed when there is one only.")
@click.option("--name", help="Only those whose name begins so.")
@click.option("--state", "stands", type=click.Choice(("waiting", "stored")), help="Only those that stand so.")
@pass_state
def list_files(state: CliState, project: str | None, name: str | None, stands: str | None) -> None:
    """List a project's files and what they take of its quota."""
    with state.client() as client:
        place = find_project(client, project)
        rows = list(client.pages("/files", project=place["id"], name=name, state=stands))
        use = client.get(f"/projects/{place['id']}/file-quota")
    show_list(state, rows, ("id", "name", "size", "state", "created_at", "expires_at"))
    note(
        f"{use['used_count']:,} of {use['most_count']:,} files, "
        f"{use['used_bytes']:,} of {use['most_bytes']:,} bytes."
    )


@file.command("rm")
@click.argument("file")
@pass_state
def remove(state: CliState, file: str) -> None:
    """Delete FILE."""
    with state.client() as client:
        shown = client.get(f"/files/{file}")
        confirm(state, f"Delete {shown['name']} ({shown['size']:,} bytes)?")
        client.delete(f"/files/{file}")
    note(f"{shown['name']} is deleted.")


def fetch_file(client: Client, file: str) -> bytes:
    """Return a file's bytes, whole and undamaged."""
    made = client.send("POST", f"/files/{file}/links").json()
    answer: Any = client.send("GET", made["url"].removeprefix(_API))
    content: bytes = answer.content
    digest = base64.b64encode(sha256(content).digest()).decode()
    if answer.headers.get("Repr-Digest") != f"sha-256=:{digest}:":
        raise Failure("The file was damaged on its way.", hint="Try again.", exit_code=ExitCode.UNAVAILABLE)
    return content
