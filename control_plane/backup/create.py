"""Makes a backup of a data folder, whether or not Ingot runs on it.

The order makes it consistent: audit checkpoints before the chain that they
speak of, calls before the functions that they name, rows before the blobs that
they need. Blobs never change, and no sweep runs meanwhile.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from builders.storage import no_sweep, sync_folder
from control_plane.backup.archive import FORMAT, ArchiveWriter, Manifest
from control_plane.backup.databases import LogPart, revision_of, snapshot, snapshot_usage
from control_plane.backup.folders import plain_files, symbolic_links
from control_plane.backup.keys import read_keys, seal_keys
from control_plane.backup.work import work_folder
from control_plane.errors import NotFound

__all__ = ["Created", "Wish", "create_backup"]

_FIRST = "audit"


@dataclass(frozen=True, slots=True)
class Wish:
    """What to back up, where to, and how the keys are kept."""

    data: Path
    into: Path
    now_ms: int
    program: str
    # Empty: the keys go into a file of their own.
    passphrase: str = ""


@dataclass(frozen=True, slots=True)
class Created:
    """What was made."""

    archive: Path
    # The file with the keys when they are not sealed in the archive.
    keys: Path | None
    size: int
    members: int
    damaged: tuple[str, ...]


def create_backup(wish: Wish) -> Created:
    """Write the archive under a temporary name and give it its own when all of it is durable."""
    data = wish.data
    if not (data / "db" / "control.db").exists():
        raise NotFound(f"{data} holds no Ingot.", hint="Name its data folder with --data.")
    wish.into.mkdir(parents=True, exist_ok=True)
    moment = datetime.fromtimestamp(wish.now_ms / 1000, UTC)
    archive = wish.into / f"ingot-{moment:%Y%m%dT%H%M%S}{wish.now_ms % 1000:03d}Z.tar"
    keys = read_keys(data / "keys")
    with work_folder(wish.into) as work, no_sweep(data / "blobs" / "sha256"):
        path = work / "archive.tar"
        with path.open("xb") as stream:
            path.chmod(0o600)
            writer = ArchiveWriter(stream)
            damaged = _write(wish, writer, work, keys)
            stream.flush()
            os.fsync(stream.fileno())
        apart = None if wish.passphrase else _keep_apart(work, archive, keys)
        path.rename(archive)
        sync_folder(wish.into)
    return Created(archive, apart, archive.stat().st_size, len(writer.members), damaged)


def _write(wish: Wish, writer: ArchiveWriter, work: Path, keys: Mapping[str, str]) -> tuple[str, ...]:
    data = wish.data
    files = list(plain_files(data))
    first = [path for path in files if path.parts[0] == _FIRST]
    damaged = list(_add_files(writer, data, first))
    revisions = {}
    logs: dict[str, LogPart] = {}
    # The usage database first, and every other one after it.
    for database in sorted((data / "db").glob("*.db"), key=lambda path: path.name != "usage.db"):
        copy = work / database.name
        if database.name == "usage.db":
            logs = snapshot_usage(database, copy, data)
        else:
            snapshot(database, copy)
        revisions[database.name] = revision_of(copy)
        _add_file(writer, f"db/{database.name}", copy)
    for name, part in logs.items():
        writer.add(f"logs/{name}", BytesIO(part.content), len(part.content))
    # Listed again: what the rows of this moment need may have come since.
    rest = [path for path in plain_files(data) if path.parts[0] != _FIRST]
    damaged += _add_files(writer, data, rest)
    if wish.passphrase:
        writer.add_bytes("keys.sealed", seal_keys(keys, wish.passphrase))
    writer.finish(
        Manifest(
            format=FORMAT,
            ingot=wish.program,
            created_ms=wish.now_ms,
            databases=revisions,
            logs={name: {"start": part.start, "counted": part.counted} for name, part in logs.items()},
            layers=_layers(work / "control.db"),
            links=symbolic_links(data),
            keys="sealed" if wish.passphrase else "apart",
            damaged=tuple(damaged),
        )
    )
    return tuple(damaged)


def _add_files(writer: ArchiveWriter, data: Path, paths: list[Path]) -> Iterator[str]:
    """Write files as they are; yield the blobs that are not what their names say."""
    for path in paths:
        try:
            sha256 = _add_file(writer, f"files/{path.as_posix()}", data / path)
        except FileNotFoundError:
            # Logs of days that are over are deleted while this runs.
            continue
        if path.parts[:2] == ("blobs", "sha256") and path.name != sha256:
            yield path.name


def _add_file(writer: ArchiveWriter, name: str, path: Path) -> str:
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        return writer.add(name, stream, status.st_size, status.st_mode).sha256


def _layers(control: Path) -> tuple[tuple[str, str], ...]:
    """Return (role, digest) of every layer that a version is made of."""
    with closing(sqlite3.connect(control)) as connection:
        rows = connection.execute("SELECT layers FROM versions").fetchall()
    return tuple(sorted({(role, digest) for (text,) in rows for role, digest in json.loads(text).items()}))


def _keep_apart(work: Path, archive: Path, keys: Mapping[str, str]) -> Path:
    """Write the keys beside the archive, before it: an archive without its keys opens no secret."""
    temporary, path = work / "keys", archive.with_suffix(".keys")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(dict(keys)))
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.rename(path)
    return path
