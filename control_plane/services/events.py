"""Reading events in the order that the relay gave them, and the relay's one step."""

from __future__ import annotations

from control_plane.domain.access import Permission
from control_plane.domain.events import Event
from control_plane.domain.identity import Actor
from control_plane.services.changes import Changes

__all__ = ["Events"]


class Events:
    """Use cases about the public sequence of events."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def sequence(self, limit: int = 500) -> int:
        """Give committed events their places; return how many. Only the worker's relay calls this.

        Places are given after the commit, by one process, so that a cursor
        never skips an event whose transaction ended late.
        """
        return self._changes.sequence_events(limit)

    def after(self, actor: Actor, cursor: int, *, limit: int = 100) -> tuple[Event, ...]:
        """Return the organization's events behind a cursor; the last one's `sequence` is the next cursor."""
        with self._changes.read(actor) as view:
            view.require_organization(Permission.EVENT_READ)
            return view.unit.outbox.after(actor.organization, cursor, limit)

    def latest(self, actor: Actor) -> int:
        """Return the cursor of this moment, to begin a stream with."""
        with self._changes.read(actor) as view:
            view.require_organization(Permission.EVENT_READ)
            return view.unit.outbox.last_sequence(actor.organization)
