"""Reading events in the order that the relay gave them, and the relay's one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from control_plane.domain.access import Permission
from control_plane.domain.events import Event
from control_plane.domain.identity import PLATFORM, Actor
from control_plane.domain.list_filters import EventFilter
from control_plane.services.changes import Changes

__all__ = ["Events", "Mark"]

# How far an organization's audit chain and its events are, and the system's own chain.
Mark: TypeAlias = tuple[int, int, int]


class Events:
    """Use cases about the public sequence of events."""

    def __init__(self, changes: Changes, consumers: Mapping[str, frozenset[str]] | None = None) -> None:
        """`consumers` are the platform's own by name, with the types that each wants; the worker's alone."""
        self._changes = changes
        self._consumers = consumers or {}

    def sequence(self, limit: int = 500) -> int:
        """Give committed events their places; return how many. Only the worker's relay calls this.

        Places are given after the commit, by one process, so that a cursor
        never skips an event whose transaction ended late.
        """
        return self._changes.sequence_events(limit, self._consumers)

    def after(
        self, actor: Actor, cursor: int, *, wanted: EventFilter | None = None, limit: int = 100
    ) -> tuple[Event, ...]:
        """Return the organization's events that fit behind a cursor; the last `sequence` is the next one."""
        with self._changes.read(actor) as view:
            view.require_organization(Permission.EVENT_READ)
            return view.unit.outbox.after(actor.organization, cursor, limit, wanted or EventFilter())

    def latest(self, actor: Actor) -> int:
        """Return the cursor of this moment, to begin a stream with."""
        with self._changes.read(actor) as view:
            view.require_organization(Permission.EVENT_READ)
            return view.unit.outbox.last_sequence(actor.organization)

    def marks(self, before: Mapping[str, Mark]) -> Mapping[str, Mark]:
        """Return how far every organization is, for a process that serves all of them; it shows nothing.

        `before` is what this returned last. Every change is in an audit chain, so
        where no mark moved nobody's rights and nobody's events did. Only what ends
        by the clock alone moves none.
        """
        newest = max((placed for _, placed, _ in before.values()), default=None)
        with self._changes.read(Actor.system("")) as view:
            chains = {organization: sequence for organization, sequence, _ in view.unit.audit.heads()}
            # At first nothing is known to have come; streams begin with a look of their own.
            behind = view.unit.counters.value("events") if newest is None else newest
            placed = view.unit.outbox.last_sequences(behind)
        system = chains.get(PLATFORM, 0)
        return {
            one: (sequence, placed.get(one, before[one][1] if one in before else behind), system)
            for one, sequence in chains.items()
        }
