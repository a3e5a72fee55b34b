"""Removes old calls and what explained them; the hourly sums stay. The meter's business alone."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, select

from control_plane.domain.metering import HOUR_MS, StreamState
from control_plane.store.tenant_wall import EVERYONE, reaching
from control_plane.store.usage_tables import host_exits, host_starts, usage_ends, usage_events, usage_kept

__all__ = ["UsageRetention", "events_kept_from"]

_EVENTS: Final = "events"
# A usage id begins with the moment at which it was minted, in 13 digits, at most this far from the call.
_MINTED_WITHIN_MS: Final = 60_000


def events_kept_from(connection: Connection) -> int:
    """Return the hour from which on every event is there, in Unix milliseconds."""
    kept = select(usage_kept.c.from_ms).where(usage_kept.c.what == _EVENTS)
    return int(connection.scalar(kept) or 0)


class UsageRetention:
    """Old rows of the usage database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = reaching(engine, EVERYONE)

    def kept_from(self) -> int:
        """Return the hour from which on every event is there."""
        with self._engine.execution_options(ingot_read_only=True).begin() as connection:
            return events_kept_from(connection)

    def over(self, before_ms: int) -> int:
        """Return how many events are over."""
        with self._engine.execution_options(ingot_read_only=True).begin() as connection:
            doomed = select(func.count()).select_from(usage_events).where(*_over(_hour(before_ms)))
            return int(connection.scalar(doomed) or 0)

    def remove(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` calls that were accepted before this hour; return how many.

        Streams that still run stay. What the host said of instances goes with the calls.
        """
        hour = _hour(before_ms)
        with self._engine.begin() as connection:
            doomed = select(usage_events.c.seq).where(*_over(hour)).order_by(usage_events.c.id).limit(limit)
            if connection.execute(doomed.limit(1)).first() is None:
                return 0
            # Said before anything goes: the sums of these hours can no longer be made anew.
            if events_kept_from(connection) < hour:
                connection.execute(delete(usage_kept).where(usage_kept.c.what == _EVENTS))
                connection.execute(usage_kept.insert().values(what=_EVENTS, from_ms=hour))
            went = connection.execute(delete(usage_events).where(usage_events.c.seq.in_(doomed))).rowcount
            for table, column, key in (
                (host_starts, host_starts.c.ready_ms, host_starts.c.instance),
                (host_exits, host_exits.c.at_ms, host_exits.c.instance),
                (usage_ends, usage_ends.c.started_ms, usage_ends.c.id),
            ):
                old = select(key).where(column < hour).limit(limit)
                connection.execute(delete(table).where(key.in_(old)))
            return int(went)


def _hour(before_ms: int) -> int:
    return max(before_ms - before_ms % HOUR_MS, 0)


def _over(hour: int) -> tuple[ColumnElement[bool], ...]:
    event = usage_events.c
    # The index of ids finds the old ones.
    minted = event.id < f"{hour + _MINTED_WITHIN_MS:013d}"
    return minted, event.accepted_ms < hour, event.stream != StreamState.OPEN.value
