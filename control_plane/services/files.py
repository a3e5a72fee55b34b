"""Files: announced by somebody with the right to, sent and fetched by whoever holds a signed address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO, Final

from control_plane.domain.access import Permission
from control_plane.domain.files import (
    DOWNLOAD_MS,
    UPLOAD_MS,
    File,
    FileLink,
    FileState,
    FileWish,
    LinkRefused,
    LinkUsed,
    Quota,
    link_for,
    open_link,
    refused,
)
from control_plane.domain.identity import Actor
from control_plane.domain.list_filters import FileFilter
from control_plane.errors import Conflict, TooLarge, Unavailable
from control_plane.ports import FileBytes
from control_plane.services.changes import Changes, Page, View, absent
from control_plane.services.file_removal import FileRemoval

__all__ = ["FileUse", "Files"]

_DAY_MS: Final = 86_400_000
# What was still being written when its address ended gets this long.
_GRACE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class FileUse:
    """What a project's files take of what they may take."""

    used_bytes: int
    used_count: int
    quota: Quota


class Files:
    """Use cases about files. `key` signs their addresses."""

    def __init__(self, changes: Changes, contents: FileBytes, key: bytes, quota: Quota) -> None:
        self._changes = changes
        self._contents = contents
        self._removal = FileRemoval(changes, contents)
        self._key = key
        self._quota = quota

    def announce(self, actor: Actor, *, project: str, wish: FileWish) -> tuple[File, FileLink]:
        """Make room for a file; the address takes its bytes once."""
        with self._changes.change(actor, "file.announce") as change:
            place = change.project(project, Permission.FILE_WRITE)
            self._quota.admit(wish.size, *change.unit.files.used(actor.organization, place.id))
            until = change.now_ms + UPLOAD_MS
            file = File(
                id=change.new_id("file"),
                organization=actor.organization,
                project=place.id,
                name=wish.name,
                media_type=wish.media_type,
                size=wish.size,
                digest=wish.digest,
                state=FileState.WAITING,
                created_by=actor.user,
                created_ms=change.now_ms,
                expires_ms=change.now_ms + wish.days * _DAY_MS,
                due_ms=until + _GRACE_MS,
            )
            change.unit.files.add(file)
            data = {"project": place.id, "size": file.size}
            change.happened("file.announced", file.id, data, days=wish.days)
        return file, link_for(self._key, file, "PUT", until)

    def store(
        self, file: str, query: Mapping[str, str], chunks: Iterable[bytes], *, request: str, address: str
    ) -> File:
        """Take a file's bytes from whoever holds its address; nothing is kept unless all of them fit."""
        known, until = self._by_link(file, "PUT", query)
        if known.state is FileState.STORED:
            raise LinkUsed("The bytes of this file have come already.", hint="Announce another file.")
        sender = replace(
            Actor.nobody(request, address),
            name="holder of a signed address",
            organization=known.organization,
            credential=f"link:{known.id}",
        )
        with self._contents.receive(known.id, self._capped(chunks, known, until)) as part:
            known.check(part.size, part.digest)
            with self._changes.change(sender, "file.store", f"file/{known.id}") as change:
                present = change.unit.files.get(known.organization, known.id)
                if present is None or present.state is FileState.REMOVED:
                    raise Conflict("The file was deleted while it was sent.", hint="Announce it again.")
                stored = present.stored(part.digest)
                # Inside the transaction: of two senders with the same address one has its bytes kept.
                part.keep()
                change.unit.files.update(stored)
                data = {"project": stored.project, "size": stored.size}
                change.happened("file.stored", stored.id, data, digest=stored.digest)
        return stored

    def get(self, actor: Actor, file: str) -> File:
        """Return what is known of a file."""
        with self._changes.read(actor) as view:
            return _visible(view, file, Permission.FILE_READ)

    def list(
        self,
        actor: Actor,
        *,
        project: str,
        wanted: FileFilter | None = None,
        after: str = "",
        limit: int = 50,
    ) -> Page[File]:
        """Return a project's files that fit, oldest first."""
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.FILE_READ)
            rows = view.unit.files.list(
                actor.organization, place.id, after, limit + 1, wanted or FileFilter()
            )
        return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else "")

    def use(self, actor: Actor, project: str) -> FileUse:
        """Return what the project's files take, announced ones too."""
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.FILE_READ)
            used_bytes, used_count = view.unit.files.used(actor.organization, place.id)
        return FileUse(used_bytes, used_count, self._quota)

    def link(self, actor: Actor, file: str) -> FileLink:
        """Return an address that gives a file's bytes to whoever holds it, for a short while."""
        with self._changes.change(actor, "file.link", f"file/{file}") as change:
            known = _visible(change, file, Permission.FILE_READ)
            if known.state is not FileState.STORED:
                raise Conflict("The file's bytes have not come yet.", hint="Send them first.")
            until = change.now_ms + DOWNLOAD_MS
            change.record(known.id, {"project": known.project, "until_ms": until})
        return link_for(self._key, known, "GET", until)

    def open(self, file: str, query: Mapping[str, str]) -> tuple[File, IO[bytes]]:
        """Return a file and its bytes for whoever holds its address; the caller closes them."""
        known, _ = self._by_link(file, "GET", query)
        if known.state is not FileState.STORED:
            raise refused()
        try:
            return known, self._contents.open(known.id)
        except FileNotFoundError:
            raise absent("file", file) from None

    def remove(self, actor: Actor, file: str) -> None:
        """Delete a file. Nobody sees it any more; what could not be deleted at once the worker deletes."""
        with self._changes.change(actor, "file.remove", f"file/{file}") as change:
            known = _visible(change, file, Permission.FILE_WRITE)
            self._removal.hide(change, known)
        # It is gone for everybody already, and its row makes the worker try until its bytes are.
        with suppress(OSError, Unavailable):
            self._removal.sweep(known)

    def _by_link(self, file: str, method: str, query: Mapping[str, str]) -> tuple[File, int]:
        with self._changes.read(Actor.nobody()) as view:
            known = view.unit.files.anywhere(file)
            now_ms = view.now_ms
        # Outside of the read: strangers must not fill the audit chain with forged addresses.
        if known is None or known.state is FileState.REMOVED:
            raise refused()
        return known, open_link(self._key, known, method, query, now_ms)

    def _capped(self, chunks: Iterable[bytes], file: File, until_ms: int) -> Iterator[bytes]:
        left = file.size
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                raise TooLarge(f"More came than the {file.size:,} bytes that were announced.", field="size")
            if self._changes.now_ms >= until_ms:
                raise LinkRefused("The address expired while the file was sent.", hint="Announce it again.")
            yield chunk


def _visible(view: View, file: str, permission: Permission) -> File:
    known = view.unit.files.get(view.organization, file)
    if known is None or known.state is FileState.REMOVED:
        raise absent("file", file)
    project = view.unit.identity.project(view.organization, known.project)
    if project is None or not view.allows(Permission.PROJECT_READ, project.scope):
        raise absent("file", file)
    view.require(permission, project.scope)
    return known
