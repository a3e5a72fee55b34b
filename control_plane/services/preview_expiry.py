"""Ending previews: when their author says so, and when nobody works with them any more."""

from __future__ import annotations

from typing import Final

from control_plane.domain.identity import Actor
from control_plane.domain.previews import Preview
from control_plane.services.changes import Change, Changes

__all__ = ["PreviewExpiry", "end_preview"]

# More wait for the next turn of the worker.
_AT_ONCE: Final = 100


def end_preview(change: Change, preview: Preview) -> None:
    """Forget a preview and say so."""
    change.unit.previews.drop(preview)
    data = {"function": preview.function, "number": preview.number}
    change.happened("preview.ended", preview.id, data)
    change.bump()


class PreviewExpiry:
    """What the worker does about previews."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def sweep(self) -> int:
        """End what nobody works with any more, over all tenants; returns how many."""
        with self._changes.read(Actor.system("")) as view:
            expired = view.unit.previews.expired(view.now_ms, _AT_ONCE)
        for one in expired:
            with self._changes.change(Actor.system(one.organization), "preview.expire") as change:
                present = change.unit.previews.get(one.organization, one.id)
                if present is not None and not present.alive(change.now_ms):
                    end_preview(change, present)
        return len(expired)
