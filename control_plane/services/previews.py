"""Previews: letting an author call a draft or an unreleased version; the reconciler makes them run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from control_plane.domain.access import Permission
from control_plane.domain.credentials import make_text, sha256_hex
from control_plane.domain.functions import Declaration, Function
from control_plane.domain.identity import Actor
from control_plane.domain.previews import IDLE_MS, MOST_OF_A_FUNCTION, Preview
from control_plane.domain.versions import VersionState
from control_plane.errors import Conflict, TooMany
from control_plane.ports import Prepared, Runtime
from control_plane.services.changes import Change, Changes, View, absent
from control_plane.services.draft_targets import bind_test_values
from control_plane.services.preview_expiry import end_preview
from control_plane.services.test_runs import Builds
from control_plane.services.versions import find_version

__all__ = ["PreviewMade", "Previews"]


@dataclass(frozen=True, slots=True)
class PreviewMade:
    """A preview and its key, which is shown once."""

    preview: Preview
    text: str


@dataclass(frozen=True, slots=True)
class _Code:
    """What shall run."""

    digest: str
    declaration: Declaration
    layers: Mapping[str, str]
    # The version's number, or the draft's revision; the other one is 0.
    number: int = 0
    revision: int = 0


class Previews:
    """Use cases about trying unreviewed code by real calls, with test values only."""

    def __init__(self, changes: Changes, builds: Builds, runtime: Runtime) -> None:
        self._changes = changes
        self._builds = builds
        self._runtime = runtime

    def start(self, actor: Actor, function: str, *, version: str | int = "") -> PreviewMade:
        """Preview the draft, or a version, as this person; one that runs already gets a new key."""
        code = self._version(actor, function, version) if version else self._draft(actor, function)
        text = make_text("ing_preview", self._changes.random(304))
        with self._changes.change(actor, "preview.start", f"function/{function}") as change:
            known, _ = change.function(function, Permission.FUNCTION_WRITE)
            if known.removed_ms:
                raise Conflict(f"The function {known.name} was taken down.", hint="Restore it first.")
            running = change.unit.previews.of_function(actor.organization, known.id)
            mine = (one for one in running if (one.user, one.number) == (actor.user, code.number))
            before = next(mine, None)
            if before is None and len(running) >= MOST_OF_A_FUNCTION:
                raise TooMany(f"{known.name} has {len(running)} previews.", hint="End one of them first.")
            preview = self._filled(change, known, code, before or _empty(change, known, code))
            preview = replace(preview, key_sha256=sha256_hex(text), expires_ms=change.now_ms + IDLE_MS)
            if before is None:
                change.unit.previews.add(preview)
            else:
                change.unit.previews.update(preview)
            data = {"function": known.id, "number": preview.number}
            change.happened("preview.started", preview.id, data, digest=preview.digest)
            change.bump()
        return PreviewMade(preview, text)

    def reload(self, actor: Actor, function: str, preview: str) -> Preview:
        """Let a draft's preview run what the draft is now; its address and key stay."""
        with self._changes.read(actor) as view:
            if _found(view, function, preview, Permission.FUNCTION_WRITE).number:
                raise Conflict("A version does not change.", hint="Preview the draft to see its edits.")
        code = self._draft(actor, function)
        with self._changes.change(actor, "preview.reload", f"preview/{preview}") as change:
            known, _ = change.function(function, Permission.FUNCTION_WRITE)
            before = _found(change, function, preview, Permission.FUNCTION_WRITE)
            after = self._filled(change, known, code, before.renewed(change.now_ms))
            if after != before:
                change.unit.previews.update(after)
                change.bump()
        return after

    def wait(self, preview: Preview, timeout_ms: int) -> Prepared:
        """Say whether the preview's present code loads; returns when it serves or failed to."""
        return self._runtime.prepare(preview.target, timeout_ms, preview.digest)

    def renew(self, actor: Actor, function: str, preview: str) -> Preview:
        """Say that somebody still works with it."""
        with self._changes.change(actor, "preview.renew", f"preview/{preview}") as change:
            before = _found(change, function, preview, Permission.FUNCTION_WRITE)
            after = before.renewed(change.now_ms)
            if after != before:
                change.unit.previews.update(after)
                change.bump()
        return after

    def end(self, actor: Actor, function: str, preview: str) -> None:
        """End a preview: its address and its key are gone."""
        with self._changes.change(actor, "preview.end", f"preview/{preview}") as change:
            end_preview(change, _found(change, function, preview, Permission.FUNCTION_WRITE))

    def get(self, actor: Actor, function: str, preview: str) -> Preview:
        """Return one preview."""
        with self._changes.read(actor) as view:
            return _found(view, function, preview, Permission.FUNCTION_READ)

    def list(self, actor: Actor, function: str) -> tuple[Preview, ...]:
        """Return what is previewed of a function, by anybody."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            running = view.unit.previews.of_function(actor.organization, known.id)
            return tuple(one for one in running if one.alive(view.now_ms))

    def _draft(self, actor: Actor, function: str) -> _Code:
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_WRITE)
        draft, built = self._builds.draft(actor, known.id)
        return _Code(built.digest, built.declaration, built.layers, revision=draft.revision)

    def _version(self, actor: Actor, function: str, version: str | int) -> _Code:
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_WRITE)
            found = find_version(view, known, version)
        if found.state not in {VersionState.FROZEN, VersionState.DEPRECATED}:
            raise Conflict(f"Version {found.number} is {found.state}.", hint="Preview another version.")
        return _Code(found.digest, found.declaration, found.layers, number=found.number)

    def _filled(self, change: Change, function: Function, code: _Code, preview: Preview) -> Preview:
        values = change.unit.values.usable(change.organization, function.project, function.id)
        bound = bind_test_values(code.declaration, values)
        return replace(
            preview,
            revision=code.revision,
            digest=code.digest,
            declaration=code.declaration,
            layers=code.layers,
            settings=bound.settings,
            secrets=bound.secrets,
            updated_ms=change.now_ms,
        )


def _empty(change: Change, function: Function, code: _Code) -> Preview:
    return Preview(
        id=change.new_id("preview"),
        organization=change.organization,
        project=function.project,
        function=function.id,
        user=change.actor.user,
        number=code.number,
        revision=0,
        digest="",
        declaration=code.declaration,
        layers={},
        settings={},
        secrets={},
        key_sha256="",
        created_ms=change.now_ms,
        updated_ms=change.now_ms,
        expires_ms=0,
    )


def _found(view: View, function: str, preview: str, permission: Permission) -> Preview:
    known, _ = view.function(function, permission)
    found = view.unit.previews.get(view.organization, preview)
    if found is None or found.function != known.id or not found.alive(view.now_ms):
        raise absent("preview", preview)
    return found
