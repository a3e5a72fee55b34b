"""Exports: asking for something to be signed and taken out, and the file with it.

Signing is the worker's, in `exporting`; bringing a file in is in `imports`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from control_plane.domain.access import Permission
from control_plane.domain.functions import Function
from control_plane.domain.identity import Actor
from control_plane.domain.ids import check_name
from control_plane.domain.moving import Export, ExportKind, ExportState
from control_plane.domain.versions import Version, VersionState
from control_plane.errors import Conflict, Invalid
from control_plane.ports import Blobs, Builder
from control_plane.services.changes import Change, Changes, View, absent
from control_plane.services.drafts import read_files
from control_plane.services.function_archive import (
    MAX_LAYER_BYTES,
    ArchivedFile,
    ArchivedVersion,
    FunctionArchive,
    write,
)
from control_plane.services.release_reads import release_by_number
from control_plane.services.versions import find_version

__all__ = ["Exports"]

_KEPT_MS: Final = 86_400_000
_TRAVELS: Final = (VersionState.FROZEN, VersionState.DEPRECATED)
_MOST: Final = 200


class Exports:
    """Use cases about taking functions out."""

    def __init__(self, changes: Changes, blobs: Blobs, builder: Builder) -> None:
        self._changes = changes
        self._blobs = blobs
        self._builder = builder

    def function(self, actor: Actor, function: str, numbers: Sequence[int] = ()) -> Export:
        """Ask for a function with these versions, by default all that may be released."""
        with self._changes.change(actor, "function.export", f"function/{function}") as change:
            known, _ = change.function(function, Permission.FUNCTION_EXPORT)
            chosen = tuple(sorted(set(numbers))) or _all(change, known)
            for number in chosen:
                _require_travelling(find_version(change, known, number))
            if not 1 <= len(chosen) <= _MOST:
                raise Conflict(
                    f"It would be {len(chosen)} versions; 1 to {_MOST} go into one file.",
                    hint="Freeze one, or name fewer with --version.",
                )
            return _record(change, known, ExportKind.FUNCTION, chosen)

    def release(
        self, actor: Actor, function: str, number: int, *, namespace: str = "", name: str = ""
    ) -> Export:
        """Ask for a release as a resource for a cluster, at its usual place or another."""
        with self._changes.change(actor, "release.export", f"function/{function}") as change:
            known, _ = change.function(function, Permission.RELEASE_WRITE)
            release = release_by_number(change, known, number)
            place = (_label(namespace or known.project.replace("_", "-").lower()), name or known.name)
            check_name(place[1])
            return _record(change, known, ExportKind.RELEASE, (release.number,), place)

    def get(self, actor: Actor, function: str, export: str) -> Export:
        """Return an export."""
        with self._changes.read(actor) as view:
            return _find(view, function, export)[1]

    def archive(self, actor: Actor, function: str, export: str) -> tuple[str, Iterator[bytes]]:
        """Return the function's name and its file, piece by piece; the same export gives the same bytes."""
        with self._changes.read(actor) as view:
            known, found = _find(view, function, export)
            if found.kind is not ExportKind.FUNCTION or found.state is not ExportState.READY:
                raise Conflict(
                    f"The export has no file: it is of a {found.kind} and {found.state}.",
                    hint="Look at it again in a moment; a release has no file but a resource.",
                )
            versions = [find_version(view, known, number) for number in found.numbers]
        content = FunctionArchive(
            function={
                "name": known.name,
                "title": known.title,
                "description": known.description,
                "labels": dict(known.labels),
            },
            versions=tuple(self._archived(version) for version in versions),
            evidence=found.evidence,
            signer=found.signer,
        )
        missing = [digest for digest in content.digests() if not self._blobs.has(digest)]
        if missing:
            raise Conflict(
                f"The content {missing[0]} is gone from this Ingot.", hint="Bring a backup back, then export."
            )
        return known.name, write(content, self._blobs.get)

    def _archived(self, version: Version) -> ArchivedVersion:
        if not version.intact():
            raise Conflict(f"Version {version.number}'s manifest does not hash to its digest.")
        files = sorted(version.files, key=lambda file: file.path)
        return ArchivedVersion(
            number=version.number,
            digest=self._blobs.put(version.manifest_text.encode()),
            files=tuple(ArchivedFile(file.path, file.digest, file.size) for file in files),
            lock=self._blobs.put(version.lock.encode()),
            sbom=version.sbom,
            deps=self._dependencies(version),
        )

    def _dependencies(self, version: Version) -> str:
        """Return the digest of the dependencies' layer, made again when it is not here; empty for none."""
        digest = version.layers.get("deps", "")
        if not digest:
            return ""
        if not self._blobs.has(digest):
            self._builder.build(read_files(self._blobs, version.files), version.lock)
        try:
            return digest if len(self._blobs.get(digest)) <= MAX_LAYER_BYTES else ""
        except FileNotFoundError:
            return ""


def _find(view: View, function: str, export: str) -> tuple[Function, Export]:
    known, _ = view.function(function, Permission.FUNCTION_EXPORT)
    found = view.unit.exports.get(view.organization, export)
    if found is None or found.function != known.id:
        raise absent("export", export)
    return known, found


def _all(view: View, function: Function) -> tuple[int, ...]:
    rows = view.unit.versions.list(view.organization, function.id)
    return tuple(sorted(one.number for one in rows if one.state in _TRAVELS))


def _require_travelling(version: Version) -> None:
    if version.state not in _TRAVELS:
        raise Conflict(
            f"Version {version.number} is {version.state}, so it may not run elsewhere either.",
            hint="Name other versions.",
        )


def _record(
    change: Change,
    function: Function,
    kind: ExportKind,
    numbers: tuple[int, ...],
    place: tuple[str, str] = ("", ""),
) -> Export:
    # What was signed is with whoever asked for it; here it is only a burden.
    change.unit.exports.forget(change.organization, function.id, change.now_ms - _KEPT_MS)
    export = Export(
        id=change.new_id("export"),
        organization=change.organization,
        project=function.project,
        function=function.id,
        kind=kind,
        numbers=numbers,
        created_by=change.actor.user,
        created_ms=change.now_ms,
        namespace=place[0],
        name=place[1],
    )
    change.unit.exports.add(export)
    data = {"export": export.id, "kind": str(kind)}
    change.happened("function.exported", function.id, data, numbers=list(numbers), place="/".join(place))
    return export


def _label(namespace: str) -> str:
    """Return the name when a namespace can be called so."""
    plain = namespace.replace("-", "")
    if not (
        1 <= len(namespace) <= 63 and plain.isascii() and plain.isalnum() and namespace == namespace.lower()
    ):
        raise Invalid(
            f"“{namespace[:70]}” cannot be a namespace.",
            field="namespace",
            hint="Use 1-63 lower-case letters, digits and inner hyphens.",
        )
    if namespace.startswith("-") or namespace.endswith("-"):
        raise Invalid("A namespace neither begins nor ends with a hyphen.", field="namespace")
    return namespace
