"""Brings a backup back into a folder that does not exist yet, or is empty: all of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from builders.storage import sync_folder, sync_tree
from builders.unpack import unpack_layer
from control_plane.backup.archive import Manifest, Taken, open_archive, read_manifest
from control_plane.backup.check import check_members
from control_plane.backup.databases import check_database
from control_plane.backup.keys import write_keys
from control_plane.backup.work import work_folder
from control_plane.errors import Conflict, Invalid

__all__ = ["Owners", "Restored", "restore_backup"]


@dataclass(frozen=True, slots=True)
class Owners:
    """User and group that the services have here, when they have their own."""

    user: int | None = None
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What was brought back."""

    manifest: Manifest
    files: int
    layers: int


# These belong to whoever starts Ingot; everything else to its services.
_STARTERS = {"keys", "ingot.toml"}
_HOST_LOGS = "host/logs"


def restore_backup(
    archive: Path,
    data: Path,
    keys: Mapping[str, str],
    owners: Owners = Owners(),
    say: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Unpack, prove, rename. Raises Conflict when the folder is in use, Invalid for a damaged backup."""
    manifest = read_manifest(archive)
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise Conflict(f"{data} is not empty.", hint="Restore into a new folder: --data FOLDER")
    data.parent.mkdir(parents=True, exist_ok=True)
    with work_folder(data.parent) as work:
        folder = work / "data"
        folder.mkdir(mode=0o700)
        say("reading the archive")
        digests = {}
        with open_archive(archive) as members:
            for taken in members:
                digests[taken.name] = _unpack(taken, folder, manifest)
        _refuse_damage(manifest, digests, folder)
        say("unpacking layers")
        for role, digest in manifest.layers:
            unpack_layer(folder / "blobs", folder / "layers", digest, role)
        for name, target in manifest.links.items():
            _inside(folder, name).symlink_to(target)
        write_keys(folder / "keys", keys)
        _give_to(folder, owners)
        sync_tree(folder)
        # A folder may only be renamed over an empty one, so nobody's data can be lost here.
        folder.rename(data)
        sync_folder(data.parent)
    return Restored(manifest, len(digests), len(manifest.layers))


def _unpack(taken: Taken, folder: Path, manifest: Manifest) -> str:
    area, _, name = taken.name.partition("/")
    if area == "files":
        path = _inside(folder, name)
    elif area in ("db", "logs"):
        path = _inside(folder, name if area == "logs" else taken.name)
    elif taken.name == "keys.sealed":
        # Opened by the caller already; the restored folder holds the keys themselves.
        path = Path(os.devnull)
    else:
        raise Invalid(f"The archive holds “{taken.name[:80]}”, which is no part of a backup.")
    if path != Path(os.devnull):
        path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        if area == "logs":
            # What was counted stays a hole: positions go on where they were.
            start = manifest.logs[name]["start"]
            target.truncate(start)
            target.seek(start)
        return taken.copy(target)


def _inside(folder: Path, name: str) -> Path:
    """Return a path below the folder. Raises Invalid for a name that leads out of it."""
    parts = Path(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise Invalid(f"The archive names “{name[:80]}”, which is outside the data folder.")
    return folder.joinpath(*parts)


def _refuse_damage(manifest: Manifest, digests: Mapping[str, str], folder: Path) -> None:
    findings = check_members(manifest, digests)
    for name in manifest.databases:
        findings += [f"The database {name}: {line}" for line in check_database(folder / "db" / name)]
    if findings:
        raise Invalid(
            f"The backup is damaged: {findings[0]}",
            hint="`ingot backup verify` lists everything; take another archive.",
            errors=tuple(("", finding) for finding in findings),
        )
    modes = {member.name: member.mode for member in manifest.members}
    for name, mode in modes.items():
        area, _, rest = name.partition("/")
        if area in ("files", "db"):
            _inside(folder, rest if area == "files" else name).chmod(mode)


def _give_to(folder: Path, owners: Owners) -> None:
    if owners.user is None or owners.group is None:
        return
    for top in folder.iterdir():
        if top.name in _STARTERS:
            continue
        os.chown(top, owners.user, owners.group, follow_symlinks=False)
        for parent, folders, names in os.walk(top):
            for name in (*folders, *names):
                path = Path(parent, name)
                # The host keeps its logs as whoever starts it, and lets the services read them.
                user = -1 if path.is_relative_to(folder / _HOST_LOGS) else owners.user
                os.chown(path, user, owners.group, follow_symlinks=False)
