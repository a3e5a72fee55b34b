"""Imports: a function that another Ingot exported, with its versions and who approved them there.

Nothing in a file is believed: each version is built here from its sources and
its lock, and must come to the digest that it claims. Approvals of another Ingot
count only where its key is trusted; without, a version arrives as to be reviewed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO

from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor
from control_plane.domain.moving import (
    EvidenceStatement,
    ImportRefused,
    Origin,
    SignedEvidence,
    read_evidence,
)
from control_plane.ports import Blobs, Builder
from control_plane.services.changes import Changes, absent
from control_plane.services.function_archive import ArchivedVersion, FunctionArchive, Received, receive
from control_plane.services.import_records import (
    Bringing,
    Imported,
    ImportedVersion,
    Ready,
    Vouched,
    record,
)
from control_plane.services.versions import find_version
from control_plane.signatures import signed_by

__all__ = ["Imported", "ImportedVersion", "Imports", "Trust", "Vouched"]


# (public key, name of the project, now) -> what the trust list says of it
Trust = Callable[[bytes, str, datetime], Vouched | None]


class Imports:
    """Use cases about bringing functions in. `platform` is this machine's, for the layers' machine code."""

    def __init__(
        self, changes: Changes, blobs: Blobs, builder: Builder, trust: Trust, *, platform: str
    ) -> None:
        self._changes = changes
        self._blobs = blobs
        self._builder = builder
        self._trust = trust
        self._platform = platform

    def receive(self, actor: Actor, stream: IO[bytes], *, project: str, name: str = "") -> Imported:
        """Bring a file in: all of it or nothing; the same file again changes nothing."""
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.FUNCTION_IMPORT)
        received = receive(stream)
        archive = received.archive
        signed = _checked_evidence(archive)
        now = datetime.fromtimestamp(self._changes.now_ms / 1_000, UTC)
        vouched = self._trust(_public(archive), place.name, now)
        ready = tuple(self._build(received, one, signed.statement, vouched) for one in archive.versions)
        bringing = Bringing(archive, signed.statement, vouched, ready)
        with self._changes.change(actor, "function.import") as change:
            place = change.project(project, Permission.FUNCTION_IMPORT)
            return record(change, place, name, bringing, self._builder)

    def origin(self, actor: Actor, function: str, version: str | int) -> Origin:
        """Return where a version came from. Raises NotFound for one that was frozen here."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            found = find_version(view, known, version)
            origin = view.unit.origins.of_version(actor.organization, found.id)
            if origin is None:
                raise absent("origin", str(version))
            return origin

    def _build(
        self, received: Received, one: ArchivedVersion, statement: EvidenceStatement, vouched: Vouched | None
    ) -> Ready:
        files = {file.path: received.blob(file.digest) for file in one.files}
        evidence = statement.of(one.digest)
        if evidence is None:
            raise ImportRefused(f"Nobody signed for version {one.number}.")
        try:
            lock = received.blob(one.lock).decode()
            # What a trusted Ingot installed needs no index here; from anybody else it is installed anew.
            ours = vouched is not None and statement.platform == self._platform
            if ours and one.deps and evidence.layers.get("deps") == one.deps:
                self._builder.adopt(lock, one.deps, received.blob(one.deps))
            built = self._builder.build(files, lock)
        except UnicodeDecodeError:
            raise ImportRefused(f"The lock of version {one.number} is not text.") from None
        if built.digest != one.digest:
            raise ImportRefused(
                f"Version {one.number} says that it is {one.digest[:23]}…, and its files and lock are "
                f"{built.digest[:23]}…."
            )
        for content in files.values():
            self._blobs.put(content)
        return Ready(one, evidence, built, lock, built.sbom)


def _checked_evidence(archive: FunctionArchive) -> SignedEvidence:
    """Return the evidence when it is whole, signed as the file says, and about what is in it."""
    try:
        signed = read_evidence(archive.evidence)
    except ValueError as error:
        raise ImportRefused(f"The file's evidence cannot be used: {error}.") from error
    if not signed_by(signed.envelope, _public(archive)):
        raise ImportRefused("The file's evidence was changed since it was signed.")
    said = {(one.number, one.digest) for one in signed.statement.versions}
    if said != {(one.number, one.digest) for one in archive.versions}:
        raise ImportRefused("The file's evidence is about other versions than those in it.")
    if archive.function.get("name") != signed.statement.name:
        raise ImportRefused("The file's evidence is about another function.")
    return signed


def _public(archive: FunctionArchive) -> bytes:
    try:
        return base64.b64decode(archive.signer, validate=True)
    except (binascii.Error, ValueError):
        raise ImportRefused("The file does not name the key that signed it.") from None
