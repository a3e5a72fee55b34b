"""Versions: freezing a draft, listing, comparing, deprecating and retiring."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from control_plane.domain.access import Permission
from control_plane.domain.functions import Draft, Function
from control_plane.domain.identity import Actor
from control_plane.domain.versions import (
    Diff,
    Version,
    VersionContent,
    VersionState,
    VersionSummary,
    diff,
)
from control_plane.errors import Conflict, Invalid, PreconditionFailed
from control_plane.ports import Blobs, Builder, Built
from control_plane.services.changes import Change, Changes, Page, View, absent
from control_plane.services.drafts import Drafts, read_files

__all__ = ["Versions", "find_version"]


def find_version(view: View, function: Function, version: str | int) -> Version:
    """Return a version of this function by number or id."""
    rows = view.unit.versions
    text = str(version)
    if text.isdecimal():
        found = rows.by_number(view.organization, function.id, int(text[:9]))
    else:
        found = rows.get(view.organization, text)
    if found is None or found.function != function.id:
        raise absent("version", text)
    return found


class Versions:
    """Use cases about immutable freezes."""

    def __init__(self, changes: Changes, blobs: Blobs, builder: Builder, drafts: Drafts) -> None:
        self._changes = changes
        self._blobs = blobs
        self._builder = builder
        self._drafts = drafts

    def freeze(self, actor: Actor, function: str, *, if_match: str = "") -> Version:
        """Freeze the present draft: lock where needed, build outside any transaction, then record.

        The same draft gives the same version again. With `if_match` only that
        revision is frozen. Raises Conflict when the draft was edited meanwhile.
        """
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.VERSION_FREEZE)
            draft = view.unit.functions.draft(actor.organization, known.id)
        if if_match:
            draft.expect(if_match)
        if not draft.files:
            raise Invalid("The draft has no files.", hint="Put files into it, then freeze it.")
        draft = self._drafts.lock(actor, known.id)
        built = self._builder.build(read_files(self._blobs, draft.files), draft.lock)
        return self._record(actor, known, draft, built)

    def get(self, actor: Actor, function: str, version: str | int) -> Version:
        """Return a version by number or id."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            return find_version(view, known, version)

    def names(self, actor: Actor, ids: Collection[str]) -> dict[str, str]:
        """Return what people call versions that the actor may see already, as in sums: `orders 7`."""
        with self._changes.read(actor) as view:
            numbers = view.unit.versions.numbers(actor.organization, ids)
            functions = {function for function, _ in numbers.values()}
            known = {one.id: one.name for one in view.unit.functions.by_ids(actor.organization, functions)}
        return {
            one: f"{known.get(function, function)} {number}" for one, (function, number) in numbers.items()
        }

    def files(self, actor: Actor, function: str, version: str | int) -> dict[str, bytes]:
        """Return a version's files, path -> bytes."""
        return read_files(self._blobs, self.get(actor, function, version).files)

    def sbom(self, actor: Actor, function: str, version: str | int) -> bytes:
        """Return a version's bill of materials, CycloneDX JSON."""
        return self._blobs.get(self.get(actor, function, version).sbom)

    def list(
        self,
        actor: Actor,
        function: str,
        *,
        state: VersionState | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> Page[VersionSummary]:
        """Return the function's versions behind a number, newest first."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            rows = view.unit.versions.list(
                actor.organization, known.id, state=state, before=after, limit=limit + 1
            )
        return Page(rows[:limit], str(rows[limit - 1].number) if len(rows) > limit else "")

    def packages(self, actor: Actor, function: str, version: str | int) -> dict[str, str]:
        """Return name -> version of the packages that a version contains."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            found = find_version(view, known, version)
            return view.unit.packages.of_version(actor.organization, found.id)

    def diff(self, actor: Actor, function: str, version: str | int, *, against: str | int = "") -> Diff:
        """Return what a version changes against another, by default the last published one before it."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            after = find_version(view, known, version)
            if against:
                before: Version | None = find_version(view, known, against)
            else:
                before = view.unit.versions.last_published_before(actor.organization, known.id, after.number)
        return diff(self._content(before) if before else None, self._content(after))

    def diff_draft(self, actor: Actor, function: str) -> Diff:
        """Return what the present draft changes against the newest version."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            draft = view.unit.functions.draft(actor.organization, known.id)
            newest = view.unit.versions.by_number(actor.organization, known.id, known.latest)
        files = read_files(self._blobs, draft.files)
        after = VersionContent(self._builder.declaration(files), files, self._builder.packages(draft.lock))
        return diff(self._content(newest) if newest else None, after)

    def deprecate(self, actor: Actor, function: str, version: str | int, *, reason: str = "") -> Version:
        """Mark a version as not to be used for anything new, and say why."""
        return self._move(actor, function, version, (VersionState.DEPRECATED, reason))

    def retire(self, actor: Actor, function: str, version: str | int, *, reason: str = "") -> Version:
        """Forbid any further release of a version, rollbacks too, and say why."""
        return self._move(actor, function, version, (VersionState.RETIRED, reason))

    def _move(self, actor: Actor, function: str, version: str | int, to: tuple[VersionState, str]) -> Version:
        state, reason = to
        with self._changes.change(actor, f"version.{state}", f"function/{function}") as change:
            known, _ = change.function(function, Permission.VERSION_RETIRE)
            found = find_version(change, known, version)
            if found.state is state and reason in ("", found.reason):
                return found
            moved = found.move(state, reason or found.reason)
            change.unit.versions.update(moved)
            data = {"function": known.id, "number": found.number, "state": state}
            change.happened("version.changed", found.id, data, reason=moved.reason)
        return moved

    def _record(self, actor: Actor, known: Function, draft: Draft, built: Built) -> Version:
        with self._changes.change(actor, "version.freeze", f"function/{known.id}") as change:
            function, _ = change.function(known.id, Permission.VERSION_FREEZE)
            if change.unit.functions.draft(actor.organization, known.id).revision != draft.revision:
                raise PreconditionFailed(
                    "The draft was edited while it was frozen.", hint="Look at it again, then freeze it."
                )
            same = change.unit.versions.by_digest(actor.organization, known.id, built.digest)
            if same is not None:
                return same
            version = self._new_version(change, function, draft, built)
            if not version.intact():
                raise Conflict("The manifest does not hash to its digest.", hint="Freeze the draft again.")
            change.unit.versions.add(version)
            change.unit.packages.add(version, self._builder.packages(draft.lock))
            runtime = built.declaration.runtime
            change.unit.functions.update(
                replace(function, latest=version.number, runtime=runtime, updated_ms=change.now_ms)
            )
            data = {"function": known.id, "number": version.number, "digest": version.digest}
            change.happened("version.frozen", version.id, data, revision=draft.revision)
        return version

    def _new_version(self, change: Change, function: Function, draft: Draft, built: Built) -> Version:
        tenant = change.organization
        since = change.unit.versions.last_reviewed_revision(tenant, function.id)
        return Version(
            id=change.new_id("version"),
            organization=tenant,
            project=function.project,
            function=function.id,
            number=function.latest + 1,
            digest=built.digest,
            manifest_text=built.manifest,
            declaration=built.declaration,
            files=draft.files,
            lock=draft.lock,
            layers=built.layers,
            image=built.image,
            sbom=built.sbom,
            revision=draft.revision,
            authors=change.unit.functions.editors_after(tenant, function.id, since),
            created_by=change.actor.user,
            created_ms=change.now_ms,
        )

    def _content(self, version: Version) -> VersionContent:
        return VersionContent(
            declaration=version.declaration,
            files=read_files(self._blobs, version.files),
            packages=self._builder.packages(version.lock),
        )
