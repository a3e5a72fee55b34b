"""Versions: immutable freezes of drafts, and the structural difference of two.

A version is named by number and digest and never edited; it is only
deprecated or retired. How a manifest is made is the builders' business.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from control_plane.domain.functions import Declaration, DraftFile
from control_plane.errors import Conflict, Invalid

__all__ = [
    "Change",
    "Diff",
    "FileChange",
    "RunnableVersion",
    "Version",
    "VersionContent",
    "VersionState",
    "VersionSummary",
    "diff",
]


class VersionState(StrEnum):
    """What may still be done with a version."""

    FROZEN = "frozen"
    DEPRECATED = "deprecated"
    # May never be released again.
    RETIRED = "retired"
    # May be released again only when a review reinstates it.
    TAKEN_DOWN = "taken_down"


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable freeze of a draft."""

    id: str
    organization: str
    project: str
    function: str
    number: int
    # SHA-256 of `manifest_text`, which is canonical JSON.
    digest: str
    manifest_text: str
    declaration: Declaration
    files: tuple[DraftFile, ...]
    lock: str
    # layer role ("function", "deps") -> digest
    layers: Mapping[str, str]
    image: str
    sbom: str
    # The draft's revision that was frozen.
    revision: int
    # (user id, e-mail) of everybody who edited since the last published version.
    authors: tuple[tuple[str, str], ...]
    created_by: str
    created_ms: int
    state: VersionState = VersionState.FROZEN
    # When it first received calls; 0 before.
    published_ms: int = 0
    # Why it was deprecated or retired.
    reason: str = ""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The manifest as values."""
        content: Mapping[str, Any] = json.loads(self.manifest_text)
        return content

    def intact(self) -> bool:
        """Say whether the manifest still hashes to the digest."""
        return "sha256:" + hashlib.sha256(self.manifest_text.encode()).hexdigest() == self.digest

    def move(self, state: VersionState, reason: str = "") -> Version:
        """Return it deprecated or retired; retiring is final."""
        if self.state is VersionState.RETIRED:
            raise Conflict(f"Version {self.number} is retired.", hint="Freeze a new version.")
        if self.state is VersionState.TAKEN_DOWN and state is not VersionState.RETIRED:
            raise Conflict(
                f"Version {self.number} was taken down.", hint="Ask for a review that reinstates it."
            )
        if len(reason) > 500 or (reason and not reason.isprintable()):
            raise Invalid("A reason has at most 500 printable characters.", field="reason")
        return replace(self, state=state, reason=reason)

    def reinstated(self) -> Version:
        """Return it as it may be released again. Only an approved review calls this."""
        if self.state is not VersionState.TAKEN_DOWN:
            raise Conflict(f"Version {self.number} was not taken down; it is {self.state}.")
        return replace(self, state=VersionState.FROZEN, reason="")


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """A version in a list: without its manifest, files and lock, which may be large."""

    id: str
    organization: str
    project: str
    function: str
    number: int
    digest: str
    revision: int
    authors: tuple[tuple[str, str], ...]
    created_by: str
    created_ms: int
    state: VersionState
    published_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class RunnableVersion:
    """What of a version is needed to run it; thousands of these are held in memory."""

    id: str
    organization: str
    project: str
    function: str
    number: int
    digest: str
    declaration: Declaration
    layers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class VersionContent:
    """What a difference is made of: a version with its files' bytes."""

    declaration: Declaration
    files: Mapping[str, bytes]
    # name -> version of the locked packages
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that differs. `lines` is a unified diff, empty for binary content."""

    path: str
    # "added", "removed" or "changed"
    kind: str
    lines: tuple[str, ...]
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One named value that differs; None where it is absent."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Diff:
    """Everything that two versions differ in, code and non-code."""

    files: tuple[FileChange, ...]
    dependencies: tuple[Change, ...]
    # Every field of the declaration: limits, contract, handler, names of settings and secrets …
    declaration: tuple[Change, ...]

    @property
    def empty(self) -> bool:
        """Say whether nothing differs."""
        return not (self.files or self.dependencies or self.declaration)


def diff(before: VersionContent | None, after: VersionContent) -> Diff:
    """Return what changed; with no version before, everything is added."""
    old = before or VersionContent(declaration=Declaration(), files={}, packages={})
    paths = sorted(old.files.keys() | after.files.keys())
    files = (_file_change(path, old.files.get(path), after.files.get(path)) for path in paths)
    return Diff(
        files=tuple(change for change in files if change is not None),
        dependencies=_changes(old.packages, after.packages),
        declaration=_changes(_flat(old.declaration) if before else {}, _flat(after.declaration)),
    )


def _file_change(path: str, before: bytes | None, after: bytes | None) -> FileChange | None:
    if before == after:
        return None
    kind = "added" if before is None else "removed" if after is None else "changed"
    try:
        old, new = (before or b"").decode(), (after or b"").decode()
    except UnicodeDecodeError:
        return FileChange(path, kind, (), binary=True)
    if "\0" in old + new:
        return FileChange(path, kind, (), binary=True)
    lines = difflib.unified_diff(_lines(old), _lines(new), "before/" + path, "after/" + path, lineterm="")
    return FileChange(path, kind, tuple(lines))


def _lines(text: str) -> list[str]:
    """Split at line feeds alone, keeping a missing last one visible as a line of its own."""
    if not text:
        return []
    lines = text.split("\n")
    if lines[-1] == "":
        return lines[:-1]
    return [*lines, "\\ No newline at end of file"]


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    names = sorted(before.keys() | after.keys())
    return tuple(
        Change(name, before.get(name), after.get(name))
        for name in names
        if name not in before or name not in after or before[name] != after[name]
    )


def _flat(declaration: Declaration) -> dict[str, Any]:
    """Return the declaration as field -> value, the limits one by one."""
    flat = {name: getattr(declaration, name) for name in Declaration.__dataclass_fields__ if name != "limits"}
    limits = declaration.limits
    return flat | {f"limits.{name}": getattr(limits, name) for name in type(limits).__dataclass_fields__}
