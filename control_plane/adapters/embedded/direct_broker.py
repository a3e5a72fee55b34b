"""The `Broker` port on one machine: the worker's own consumers, called one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from control_plane.domain.events import Event
from control_plane.errors import Unavailable

__all__ = ["DirectBroker"]


class DirectBroker:
    """Remembers who wants what; an event that a consumer cannot work on was not taken."""

    def __init__(self, take: Callable[[str, str], bool]) -> None:
        """`take` lets a consumer, by name, work on an event, by id."""
        self._take = take
        self._consumers: dict[str, frozenset[str]] = {}

    def subscribe(self, consumers: Mapping[str, Collection[str]]) -> None:
        """Remember the consumers instead of those before."""
        self._consumers = {name: frozenset(types) for name, types in consumers.items()}

    def publish(self, event: Event) -> None:
        """Call every consumer that wants the event; the others' faults keep none from its own."""
        failed: Exception | None = None
        for name, types in self._consumers.items():
            if event.type not in types:
                continue
            try:
                self._take(name, event.id)
            except Exception as error:  # noqa: BLE001 - whatever one consumer met, the next one gets its event
                failed = error
        if failed is not None:
            raise Unavailable(f"A consumer could not work on {event.type}: {failed}") from failed
