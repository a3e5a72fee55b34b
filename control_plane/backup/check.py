"""Says whether a backup would bring everything back: every digest, every database, every needed blob."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from control_plane.backup.archive import Manifest, Taken, open_archive, read_manifest
from control_plane.backup.databases import check_database
from control_plane.backup.work import work_folder

__all__ = ["AuditCheck", "Checked", "check_backup", "check_members", "missing_blobs"]

# (folder with `db` and `audit`, keys if they are known) -> what is wrong with the audit chains.
AuditCheck = Callable[[Path, Mapping[str, str] | None], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Checked:
    """What verifying found; nothing when the backup is whole."""

    manifest: Manifest
    findings: tuple[str, ...]
    # Whether the signatures of the audit checkpoints could be checked too.
    signatures: bool


@dataclass(slots=True)
class _Seen:
    digests: dict[str, str] = field(default_factory=dict)


def check_backup(archive: Path, audit: AuditCheck, keys: Mapping[str, str] | None = None) -> Checked:
    """Read all of an archive. Raises Invalid when it is none at all."""
    manifest = read_manifest(archive)
    with work_folder(archive.parent) as work:
        seen = _Seen()
        with open_archive(archive) as members:
            for taken in members:
                seen.digests[taken.name] = _read(taken, work)
        findings = [*check_members(manifest, seen.digests)]
        findings += [f"The blob {name} was damaged when the backup was made." for name in manifest.damaged]
        for name in manifest.databases:
            findings += [f"The database {name}: {line}" for line in check_database(work / "db" / name)]
        if not findings:
            findings += missing_blobs(work / "db" / "control.db", set(seen.digests))
            findings += audit(work, keys)
    return Checked(manifest, tuple(findings), signatures=keys is not None)


def check_members(manifest: Manifest, digests: Mapping[str, str]) -> list[str]:
    """Compare what was read with what the manifest names."""
    wanted = {member.name: member.sha256 for member in manifest.members}
    findings = [f"{name} is missing." for name in wanted if name not in digests]
    findings += [f"{name} is not in the manifest." for name in digests if name not in wanted]
    changed = [name for name, sha256 in wanted.items() if digests.get(name, sha256) != sha256]
    return findings + [f"{name} was changed: its digest is another one." for name in changed]


def missing_blobs(control: Path, members: set[str]) -> list[str]:
    """Return the digests that versions and drafts name and the archive lacks."""
    needed: set[str] = set()
    with closing(sqlite3.connect(control)) as connection:
        for image, sbom, layers in connection.execute("SELECT image, sbom, layers FROM versions"):
            needed |= {image, sbom, *json.loads(layers).values()}
        for table in ("versions", "drafts"):
            for (files,) in connection.execute(f"SELECT files FROM {table}"):  # noqa: S608 - two fixed names
                needed |= {file["digest"] for file in json.loads(files)}
    names = {digest.removeprefix("sha256:") for digest in needed if digest}
    lacking = sorted(name for name in names if f"files/blobs/sha256/{name}" not in members)
    return [f"The blob {name} is needed and missing." for name in lacking]


def _read(taken: Taken, work: Path) -> str:
    """Hash a member; keep those that are opened afterwards."""
    if taken.name.startswith("db/") or taken.name.startswith("files/audit/"):
        path = work / taken.name.removeprefix("files/")
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as target:
            return taken.copy(target)
    return taken.copy(_Nowhere())  # type: ignore[arg-type]  # only its write is used


class _Nowhere:
    """Takes bytes and forgets them."""

    def write(self, content: bytes) -> int:
        """Forget."""
        return len(content)
