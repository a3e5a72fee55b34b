"""Drafts: editing files under If-Match, and locking their dependencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from control_plane.domain.access import Permission
from control_plane.domain.functions import MAX_FILE_BYTES, Declaration, Draft, DraftFile, Edit, check_path
from control_plane.domain.identity import Actor
from control_plane.errors import Conflict, Invalid, TooLarge
from control_plane.ports import Blobs, Builder
from control_plane.services.changes import Change, Changes, absent

__all__ = ["Drafts", "FileEdit", "read_files", "save_draft"]


@dataclass(frozen=True, slots=True)
class FileEdit:
    """One step of an edit of several files."""

    # "put", "delete" or "rename"
    kind: str
    path: str
    content: bytes = b""
    # The new path of a renamed file.
    to: str = ""


def read_files(blobs: Blobs, files: tuple[DraftFile, ...]) -> dict[str, bytes]:
    """Return path -> bytes of a draft's or version's files."""
    return {file.path: blobs.get(file.digest) for file in files}


def save_draft(change: Change, draft: Draft, what: str) -> Draft:
    """Write an edited draft back as its next revision, and keep whose edit it was."""
    actor = change.actor
    edited = replace(draft, revision=draft.revision + 1, updated_by=actor.user, updated_ms=change.now_ms)
    change.unit.functions.update_draft(edited)
    change.unit.functions.touch(actor.organization, draft.function, change.now_ms)
    change.unit.functions.add_edit(
        Edit(
            function=draft.function,
            organization=actor.organization,
            revision=edited.revision,
            user=actor.user,
            email=actor.email,
            at_ms=change.now_ms,
            what=what[:400],
        )
    )
    data = {"revision": edited.revision, "user": actor.user}
    change.happened("draft.changed", draft.function, data, what=what[:400])
    return edited


class Drafts:
    """Use cases about a function's editable state."""

    def __init__(self, changes: Changes, blobs: Blobs, builder: Builder) -> None:
        self._changes = changes
        self._blobs = blobs
        self._builder = builder

    def get(self, actor: Actor, function: str) -> Draft:
        """Return the draft; its `etag` is what an edit must name."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            return view.unit.functions.draft(actor.organization, known.id)

    def read(self, actor: Actor, function: str, path: str) -> bytes:
        """Return one file's bytes."""
        return self.content(self.get(actor, function), path)

    def content(self, draft: Draft, path: str) -> bytes:
        """Return the bytes of one file of a revision."""
        for file in draft.files:
            if file.path == path:
                return self._blobs.get(file.digest)
        raise absent("file", path)

    def files(self, actor: Actor, function: str) -> dict[str, bytes]:
        """Return all files, path -> bytes."""
        return self.contents(self.get(actor, function))

    def contents(self, draft: Draft) -> dict[str, bytes]:
        """Return all files of one revision, path -> bytes."""
        return read_files(self._blobs, draft.files)

    def declaration(self, actor: Actor, function: str) -> Declaration:
        """Return what the draft's files declare. Raises Invalid when they cannot be read."""
        return self._builder.declaration(self.files(actor, function))

    def put_file(self, actor: Actor, function: str, path: str, content: bytes, *, if_match: str) -> Draft:
        """Add or replace one file."""
        file = self._store(path, content)
        with self._changes.change(actor, "draft.put_file", f"function/{function}") as change:
            draft = self._editable(change, function, if_match)
            return save_draft(change, draft.with_file(file), f"put {path}")

    def delete_file(self, actor: Actor, function: str, path: str, *, if_match: str) -> Draft:
        """Remove one file."""
        with self._changes.change(actor, "draft.delete_file", f"function/{function}") as change:
            draft = self._editable(change, function, if_match)
            return save_draft(change, draft.without_file(path), f"delete {path}")

    def edit(self, actor: Actor, function: str, edits: Sequence[FileEdit], *, if_match: str) -> Draft:
        """Put, delete and rename several files, all in one revision or none of them."""
        if not edits:
            raise Invalid("There is nothing to change.", field="changes")
        stored = {edit.path: self._store(edit.path, edit.content) for edit in edits if edit.kind == "put"}
        with self._changes.change(actor, "draft.edit", f"function/{function}") as change:
            draft = self._editable(change, function, if_match)
            for edit in edits:
                if edit.kind == "put":
                    draft = draft.with_file(stored[edit.path])
                elif edit.kind == "rename":
                    draft = draft.with_renamed(edit.path, edit.to)
                else:
                    draft = draft.without_file(edit.path)
            what = ", ".join(f"{edit.kind} {edit.path}" for edit in edits)
            return save_draft(change, draft, what)

    def put_all(self, actor: Actor, function: str, files: Mapping[str, bytes], *, if_match: str) -> Draft:
        """Replace every file at once; unpacking an archive safely is the builders' business."""
        stored = tuple(self._store(path, content) for path, content in files.items())
        with self._changes.change(actor, "draft.put_all", f"function/{function}") as change:
            draft = self._editable(change, function, if_match)
            return save_draft(change, draft.with_files(stored), f"put {len(stored)} files")

    def lock(self, actor: Actor, function: str) -> Draft:
        """Resolve the dependencies of the present revision and keep the result in the draft.

        Takes as long as the resolver does, outside any transaction. A lock
        that still fits stays as it is. Raises Conflict when the draft was
        edited meanwhile.
        """
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_WRITE)
            draft = view.unit.functions.draft(actor.organization, known.id)
        lock = self._builder.lock(read_files(self._blobs, draft.files), draft.lock)
        if lock == draft.lock:
            return draft
        with self._changes.change(actor, "draft.lock", f"function/{known.id}") as change:
            present = change.unit.functions.draft(actor.organization, known.id)
            if present.revision != draft.revision:
                raise Conflict(
                    "The draft was edited while its dependencies were resolved.", hint="Lock it again."
                )
            # Whoever locks decides what runs, so it counts as an edit for the four eyes.
            locked = save_draft(change, replace(present, lock=lock), "lock")
            change.emit("draft.locked", known.id, {"revision": locked.revision})
            return locked

    def _store(self, path: str, content: bytes) -> DraftFile:
        check_path(path)
        if len(content) > MAX_FILE_BYTES:
            message = f"{path} has {len(content):,} bytes; {MAX_FILE_BYTES:,} is the most."
            raise TooLarge(message, field="path")
        return DraftFile(path, self._blobs.put(content), len(content))

    def _editable(self, change: Change, function: str, if_match: str) -> Draft:
        known, _ = change.function(function, Permission.FUNCTION_WRITE)
        draft = change.unit.functions.draft(change.organization, known.id)
        draft.expect(if_match)
        return draft
