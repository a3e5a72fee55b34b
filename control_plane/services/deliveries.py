"""Bringing events to the platform's consumers: what is due, and each consumer's work, once.

A broker may lose an event or bring it twice. It is done when its consumer has
worked and the delivery is gone, and only then; until then it is published again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from threading import Lock

from control_plane.domain.deliveries import Consumer, next_attempt_ms
from control_plane.domain.events import Event
from control_plane.domain.identity import Actor
from control_plane.services.changes import Changes

__all__ = ["Deliveries"]


class Deliveries:
    """The two ends of every delivery. Safe for several threads."""

    def __init__(self, changes: Changes, consumers: Iterable[Consumer]) -> None:
        self._changes = changes
        self._consumers = {one.name: one for one in consumers}
        # A consumer works on one event at a time: a second copy finds the first one's work done.
        self._working = {name: Lock() for name in self._consumers}

    @property
    def wanted(self) -> Mapping[str, frozenset[str]]:
        """Consumers by name, with the types that each wants."""
        return {name: one.types for name, one in self._consumers.items()}

    def claim(self, limit: int = 50) -> tuple[Event, ...]:
        """Return events to publish now. They are due again after a pause, whoever dies meanwhile."""
        with self._changes.read(Actor.system("")) as view:
            if not view.unit.deliveries.due(view.now_ms, 1):
                return ()
        with self._changes.aside() as unit:
            now_ms = self._changes.now_ms
            due = unit.deliveries.due(now_ms, limit)
            events = unit.deliveries.events({one.event for one in due})
            kept = {event.id for event in events}
            for one in due:
                if one.event not in kept or one.consumer not in self._consumers:
                    # Its event was kept long enough, or its consumer belongs to other settings.
                    unit.deliveries.drop(one.event, one.consumer)
                    continue
                due_ms = next_attempt_ms(now_ms, one.attempts)
                unit.deliveries.update(replace(one, due_ms=due_ms, attempts=one.attempts + 1))
        wanted = {one.event for one in due if one.consumer in self._consumers}
        return tuple(event for event in events if event.id in wanted)

    def take(self, consumer: str, event: str) -> bool:
        """Let a consumer work on an event of ours that waits for it; says whether there was something to do.

        What the event says is read from where it was committed, so that nobody
        who can call this can make up a fact. Raises what the work raises.
        """
        known = self._consumers.get(consumer)
        if known is None:
            return False
        with self._working[consumer]:
            with self._changes.read(Actor.system("")) as view:
                found = view.unit.deliveries.event(event, consumer)
            if found is None:
                return False
            known.work(found)
            with self._changes.aside() as unit:
                return unit.deliveries.drop(event, consumer)
