"""Deleting files: by their owners, when they expire, and what was never sent. The worker turns it over."""

from __future__ import annotations

from control_plane.domain.files import File, FileState
from control_plane.domain.identity import Actor
from control_plane.domain.retention import Removal
from control_plane.errors import Unavailable
from control_plane.ports import FileBytes
from control_plane.services.changes import Change, Changes

__all__ = ["FileRemoval"]


class FileRemoval:
    """First the row says that the file is gone, then its bytes go, then the row.

    As long as the row is there, the worker finds the bytes to delete; a kill
    at any moment leaves none behind.
    """

    def __init__(self, changes: Changes, contents: FileBytes) -> None:
        self._changes = changes
        self._contents = contents

    def hide(self, change: Change, file: File) -> None:
        """Let nobody see the file any more."""
        change.unit.files.update(file.removed(change.now_ms))
        change.happened("file.removed", file.id, {"project": file.project}, size=file.size)

    def sweep(self, file: File) -> None:
        """Delete the bytes of a hidden file and forget it."""
        self._contents.delete(file.id)
        with self._changes.change(Actor.system(file.organization), "file.sweep") as change:
            change.unit.files.delete(file.organization, file.id)

    def preview(self) -> Removal:
        """Return what is due now, with its bytes."""
        with self._changes.read(Actor.system("")) as view:
            return Removal("files", *view.unit.files.over(view.now_ms))

    def delete_due(self, limit: int = 100) -> int:
        """Delete what has expired, what was never sent and what a kill left half deleted; how many.

        A file that cannot be deleted is not in the way of the others; its error
        is raised when there are no others left.
        """
        with self._changes.read(Actor.system("")) as view:
            due = view.unit.files.due(view.now_ms, limit)
        gone = [file for file in due if file.state is FileState.REMOVED or self._expire(file)]
        failed: OSError | Unavailable | None = None
        swept = 0
        for file in gone:
            try:
                self.sweep(file)
                swept += 1
            except (OSError, Unavailable) as error:
                failed = error
        if failed is not None and not swept:
            raise failed
        return swept

    def _expire(self, file: File) -> bool:
        """Hide a file that is due; it may have been stored since somebody looked."""
        actor = Actor.system(file.organization)
        with self._changes.change(actor, "file.expire", f"file/{file.id}") as change:
            present = change.unit.files.get(file.organization, file.id)
            if present is None or present.due_ms > change.now_ms:
                return False
            self.hide(change, present)
        return True
