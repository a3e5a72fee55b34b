"""Rows of deliveries: made with an event's place, gone when its consumer has done its work."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, and_, delete, select

from control_plane.domain.deliveries import Delivery
from control_plane.domain.events import Event
from control_plane.store.delivery_tables import deliveries
from control_plane.store.journal_tables import outbox
from control_plane.store.rows import Rows

__all__ = ["DeliveryRows"]


class DeliveryRows:
    """What consumers have still to do, over all tenants."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._deliveries = Rows(connection, deliveries, Delivery)
        self._events = Rows(connection, outbox, Event)

    def add(self, delivery: Delivery) -> None:
        """Insert a delivery."""
        self._deliveries.add(delivery)

    def update(self, delivery: Delivery) -> None:
        """Write a delivery back, if it is still there: its consumer may be done meanwhile."""
        key = and_(deliveries.c.event == delivery.event, deliveries.c.consumer == delivery.consumer)
        values = {"due_ms": delivery.due_ms, "attempts": delivery.attempts}
        self._connection.execute(deliveries.update().where(key).values(values))

    def due(self, now_ms: int, limit: int) -> tuple[Delivery, ...]:
        """Return what is to be handed over now, longest due first."""
        statement = self._deliveries.select(deliveries.c.due_ms <= now_ms)
        return self._deliveries.all(statement.order_by(deliveries.c.due_ms).limit(limit))

    def event(self, event: str, consumer: str) -> Event | None:
        """Return the event that the consumer has not worked on yet; None when there is none."""
        waiting = select(deliveries.c.event).where(
            deliveries.c.event == event, deliveries.c.consumer == consumer
        )
        found = self._events.all(self._events.select(outbox.c.id == event, outbox.c.id.in_(waiting)))
        return found[0] if found else None

    def events(self, ids: Collection[str]) -> tuple[Event, ...]:
        """Return events by id in their public order; what is kept no more is left out."""
        return self._events.all(self._events.select(outbox.c.id.in_(sorted(ids))).order_by(outbox.c.sequence))

    def drop(self, event: str, consumer: str) -> bool:
        """Forget a delivery; says whether it was there."""
        key = and_(deliveries.c.event == event, deliveries.c.consumer == consumer)
        return bool(self._connection.execute(delete(deliveries).where(key)).rowcount)
