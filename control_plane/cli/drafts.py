"""`ingot draft`: push and pull a function's editable state without losing anybody's edit."""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import click

from control_plane.cli.archives import ARCHIVE_TYPE, pack, tree, unpack
from control_plane.cli.bodies import write_body
from control_plane.cli.failures import ApiProblem, ExitCode, Failure
from control_plane.cli.output import next_step, note, progress, show_list, show_one
from control_plane.cli.references import Link, find_function, read_link, write_link
from control_plane.cli.state import CliState, confirm, pass_state

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["draft", "expected_etag"]

_FOLDER = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The function's folder; default: the current one.",
)
_PRESENT = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="The function's folder; default: the current one.",
)


@click.group()
def draft() -> None:
    """Push and pull a function's editable state."""


@draft.command("push")
@click.argument("function", required=False)
@_PRESENT
@click.option("--force", is_flag=True, help="Replace the draft even when somebody else has changed it.")
@click.option("--lock/--no-lock", default=True, help="Resolve the dependencies afterwards.")
@pass_state
def push(state: CliState, function: str | None, folder: Path, force: bool, lock: bool) -> None:
    """Replace the draft's files by this folder's, and lock its dependencies."""
    with state.client(timeout_s=300) as client:
        found = find_function(client, function, folder)
        path = f"/functions/{found['id']}/draft"
        current = client.send("GET", path)
        etag = expected_etag(folder, client.profile.url, found["id"], current, force)
        with pack(folder) as archive, progress("Sending the draft"):
            answer = _replace(client, path, archive, etag)
        # Before anything else may fail: what is there now is this folder's, so the next push may replace it.
        write_link(folder, Link(client.profile.url, found["id"], answer.headers["ETag"]))
        if lock:
            with progress("Resolving the dependencies"):
                answer = client.send("POST", f"{path}/lock")
            write_link(folder, Link(client.profile.url, found["id"], answer.headers["ETag"]))
    show_one(state, answer.json(), ("function", "revision", "locked", "updated_at"))
    next_step(state, "ingot test --input FILE runs it once; ingot freeze makes a version of it.")


@draft.command("pull")
@click.argument("function", required=False)
@_FOLDER
@pass_state
def pull(state: CliState, function: str | None, folder: Path) -> None:
    """Write the draft's files into this folder."""
    with state.client() as client:
        found = find_function(client, function, folder)
        folder.mkdir(parents=True, exist_ok=True)
        if any(True for _ in tree(folder)):
            confirm(state, f"{folder.resolve()} holds files; those of the same name will be replaced. Go on?")
        answer = client.send("GET", f"/functions/{found['id']}/draft/archive")
        written = unpack(answer.content, folder)
        write_link(folder, Link(client.profile.url, found["id"], answer.headers["ETag"]))
    note(f"Wrote {len(written)} files to {folder.resolve()}.")


@draft.command("status")
@click.argument("function", required=False)
@_PRESENT
@pass_state
def status(state: CliState, function: str | None, folder: Path) -> None:
    """Compare this folder with the draft on the server."""
    with state.client() as client:
        found = find_function(client, function, folder)
        remote = {
            item["path"]: item["digest"] for item in client.get(f"/functions/{found['id']}/draft")["files"]
        }
    local = {name: f"sha256:{sha256(path.read_bytes()).hexdigest()}" for name, path in tree(folder)}
    rows = [
        {"path": path, "state": _difference(local.get(path), remote.get(path))}
        for path in sorted({*local, *remote})
        if local.get(path) != remote.get(path)
    ]
    if not rows and state.output == "table":
        note("The folder and the draft hold the same files.")
        return
    show_list(state, rows, ("state", "path"))


@draft.command("files")
@click.argument("function", required=False)
@pass_state
def files(state: CliState, function: str | None) -> None:
    """List the draft's files with size and digest."""
    with state.client() as client:
        found = find_function(client, function)
        rows = list(client.pages(f"/functions/{found['id']}/draft/files"))
    show_list(state, rows, ("path", "size", "digest"))


@draft.command("rename")
@click.argument("function")
@click.argument("path")
@click.argument("to")
@pass_state
def rename(state: CliState, function: str, path: str, to: str) -> None:
    """Give the file PATH of FUNCTION's draft the path TO."""
    _edit(state, function, {"op": "rename", "path": path, "to": to})


@draft.command("delete")
@click.argument("function")
@click.argument("path")
@pass_state
def delete(state: CliState, function: str, path: str) -> None:
    """Remove the file PATH from FUNCTION's draft."""
    _edit(state, function, {"op": "delete", "path": path})


def _replace(client: Client, path: str, archive: IO[bytes], etag: str) -> Any:
    headers = {"Content-Type": ARCHIVE_TYPE, "If-Match": etag}
    try:
        return client.send("PUT", f"{path}/archive", content=archive, headers=headers)
    except ApiProblem as problem:
        if problem.code != "precondition_failed":
            raise
        raise Failure(
            "Somebody else, or another folder, changed the draft since this folder last saw it.",
            hint="`ingot draft status` shows what differs; `ingot draft push --force` replaces it.",
            exit_code=ExitCode.CONFLICT,
            request_id=problem.request_id,
        ) from problem


@draft.command("get")
@click.argument("function")
@click.argument("path")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="File to write it to.")
@pass_state
def get(state: CliState, function: str, path: str, save: Path | None) -> None:
    """Print the file PATH of FUNCTION's draft."""
    with state.client() as client:
        found = find_function(client, function)
        content = client.send("GET", f"/functions/{found['id']}/draft/files/{quote(path)}").content
    write_body(content, save)


@draft.command("put")
@click.argument("function")
@click.argument("path")
@click.argument("file", type=click.File("rb"))
@pass_state
def put(state: CliState, function: str, path: str, file: IO[bytes]) -> None:
    """Write FILE, or - for standard input, to PATH in FUNCTION's draft."""
    content = base64.b64encode(file.read()).decode()
    _edit(state, function, {"op": "put", "path": path, "content": content})


@draft.command("lock")
@click.argument("function", required=False)
@pass_state
def lock(state: CliState, function: str | None) -> None:
    """Resolve the dependencies of FUNCTION's draft as it is now."""
    with state.client(timeout_s=300) as client:
        found = find_function(client, function)
        with progress("Resolving the dependencies"):
            answer = client.send("POST", f"/functions/{found['id']}/draft/lock")
    show_one(state, answer.json(), ("function", "revision", "locked", "updated_at"))


def _edit(state: CliState, function: str, change: dict[str, str]) -> None:
    """Change the draft as it is now; the folder is not looked at."""
    with state.client() as client:
        path = f"/functions/{find_function(client, function)['id']}/draft"
        etag = client.send("GET", path).headers["ETag"]
        answer = client.send("PATCH", f"{path}/files", json={"changes": [change]}, headers={"If-Match": etag})
    show_one(state, answer.json(), ("function", "revision", "locked", "updated_at"))


def expected_etag(folder: Path, url: str, function: str, current: Any, force: bool) -> str:
    """Return the ETag that the push builds on: the one last seen here, not merely the newest."""
    newest: str = current.headers["ETag"]
    if force:
        return newest
    link = read_link(folder)
    if link is not None and (link.url, link.function) == (url, function):
        return link.etag
    if current.json()["files"]:
        raise Failure(
            "The draft holds files that this folder has never seen.",
            hint="Run `ingot draft pull` into an empty folder, or push with --force to replace them.",
            exit_code=ExitCode.CONFLICT,
        )
    return newest


def _difference(local: str | None, remote: str | None) -> str:
    if remote is None:
        return "only here"
    return "only in the draft" if local is None else "differs"
