"""Writes usage: one transaction for the rows of a batch and the position that it was read up to.

The only code that writes to the usage database. What belongs together is found in
usage_batch.py, what a call counts as is decided by the domain.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, case, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from control_plane.domain.metering import DAY_MS, HOUR_MS, StreamState
from control_plane.errors import Conflict
from control_plane.store.tenant_wall import EVERYONE, reaching
from control_plane.store.usage_batch import Repeated, UsageBatch, unknown_calls
from control_plane.store.usage_intake import Intake, LogMark, Reject, Step
from control_plane.store.usage_retention import events_kept_from
from control_plane.store.usage_tables import (
    DAILY_KEY,
    HOURLY_KEY,
    HOURLY_SUMS,
    log_offsets,
    usage_daily,
    usage_events,
    usage_hourly,
)

__all__ = ["AnotherWriter", "UsageLedger"]


# Any number that nothing else in the database locks.
_WRITERS: Final = 0x696E676F74


class AnotherWriter(Conflict):
    """The stored position is not where this process left it."""

    code = "another_meter"


class UsageLedger:
    """The meter's view of the usage database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = reaching(engine, EVERYONE)

    def marks(self) -> dict[str, LogMark]:
        """Return how far each log is counted, by source."""
        with self._engine.begin() as connection:
            return {row.source: LogMark(*row) for row in connection.execute(select(log_offsets))}

    @contextlib.contextmanager
    def _turn(self) -> Iterator[Connection]:
        """Yield a transaction that no other meter writes beside.

        Each gateway has a meter; what one batch completes, another's may just be about to store.
        """
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_WRITERS)))
            yield connection

    def write(self, intake: Intake) -> int:
        """Store a batch with its marks, durably, and return how many of its calls were new.

        Raises AnotherWriter when the marks moved since they were read.
        """
        try:
            with self._turn() as connection:
                _move_marks(connection, intake.steps)
                return UsageBatch(connection, intake).store(intake.calls)
        except Repeated:
            with self._turn() as connection:
                _move_marks(connection, intake.steps)
                return UsageBatch(connection, intake).store(unknown_calls(connection, intake.calls))

    def close_lost_streams(self, accepted_before_ms: int, limit: int = 1000) -> int:
        """Close streams whose end record never came, with what is known; returns how many."""
        query = (
            select(usage_events)
            .where(usage_events.c.stream == StreamState.OPEN.value)
            .where(usage_events.c.accepted_ms < accepted_before_ms)
            .limit(limit)
        )
        with self._turn() as connection:
            rows = connection.execute(query).all()
            if rows:
                UsageBatch(connection, Intake(seen_ms=0)).close(rows)
            return len(rows)

    def adopt(self, source: str, seen_ms: int) -> int:
        """Count the log of that source from its beginning, whatever file it is now.

        Returns the position that is given up; it stays among the rejects. What
        the file still holds of the old log is known by its ids and not counted twice.
        """
        stored = log_offsets.c
        with self._turn() as connection:
            position = connection.scalar(select(stored.position).where(stored.source == source)) or 0
            blank = {"position": 0, "lines": 0, "tail_digest": b""}
            connection.execute(update(log_offsets).where(stored.source == source).values(**blank))
            lost = Reject(source, position, 0, "another log was accepted in place of this one", b"")
            UsageBatch(connection, Intake(seen_ms, rejects=[lost])).store(())
        return position

    def rebuild(self) -> None:
        """Make the sums by hour and day anew from the events, for the hours whose events are all kept."""
        event = usage_events.c
        key = [
            (event.accepted_ms - event.accepted_ms % HOUR_MS).label("hour_ms"),
            *(event[name] for name in HOURLY_KEY[1:]),
        ]
        sums = (
            func.count(),
            _count_positive(event.billed_ms),
            _count_positive(event.ready_ms),
            func.sum(event.billed_ms),
            func.sum(event.billed_ms * event.memory_mb),
            func.sum(event.bytes_in),
            func.sum(event.bytes_out),
        )
        # By position: with parameters in it, the hour written twice would be two different expressions.
        positions = [text(str(place)) for place in range(1, len(key) + 1)]
        with self._turn() as connection:
            kept_from = events_kept_from(connection)
            query = select(*key, *sums).where(event.accepted_ms >= kept_from).group_by(*positions)
            connection.execute(delete(usage_hourly).where(usage_hourly.c.hour_ms >= kept_from))
            connection.execute(usage_hourly.insert().from_select([*HOURLY_KEY, *HOURLY_SUMS], query))
            _add_up_days(connection, kept_from - kept_from % DAY_MS)


def _add_up_days(connection: Connection, start_ms: int) -> None:
    """Make the sums by day anew from those by hour."""
    hours = usage_hourly.c
    day = (hours.hour_ms - hours.hour_ms % DAY_MS).label("day_ms")
    sums = [func.sum(hours[name]) for name in HOURLY_SUMS]
    rows = select(day, *(hours[name] for name in DAILY_KEY[1:]), *sums).where(hours.hour_ms >= start_ms)
    rows = rows.group_by(*(text(str(place)) for place in range(1, len(DAILY_KEY) + 1)))
    connection.execute(delete(usage_daily).where(usage_daily.c.day_ms >= start_ms))
    connection.execute(usage_daily.insert().from_select([*DAILY_KEY, *HOURLY_SUMS], rows))


def _count_positive(column: ColumnElement[int]) -> ColumnElement[int]:
    return func.sum(case((column > 0, 1), else_=0))


def _move_marks(connection: Connection, steps: list[Step]) -> None:
    for step in steps:
        after = {
            "position": step.after.position,
            "lines": step.after.lines,
            "tail_digest": step.after.tail_digest,
        }
        if step.before is None:
            try:
                connection.execute(insert(log_offsets).values(source=step.after.source, **after))
            except IntegrityError:
                raise _moved(step) from None
            continue
        stored = log_offsets.c
        statement = (
            update(log_offsets)
            .where(stored.source == step.before.source)
            .where(stored.position == step.before.position)
            .where(stored.lines == step.before.lines)
            .values(**after)
        )
        if connection.execute(statement).rowcount != 1:
            raise _moved(step)


def _moved(step: Step) -> AnotherWriter:
    return AnotherWriter(
        f"The counted position of the {step.after.source} log was moved by another process.",
        hint="Only one meter may write the usage database; end the other one.",
    )
