"""The monitor's sums: collected for a batch of calls, kept for some days, made anew from the events.

Runs inside the meter's transactions; what a call adds is the domain's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    and_,
    case,
    delete,
    func,
    literal,
    select,
    text,
)

from control_plane.domain.metering import FAULT_OF, HOUR_MS, Fault, StreamState, UsageEvent
from control_plane.domain.monitoring import Reading
from control_plane.domain.series import BUCKETS_MS, MINUTE_MS, SUMS, of_event
from control_plane.store.series_tables import (
    READINGS,
    SERIES_KEY,
    monitor_instances,
    monitor_system,
    usage_hours,
    usage_minutes,
    usage_totals,
)
from control_plane.store.tenant_wall import EVERYONE, reaching
from control_plane.store.usage_statements import (
    add_hours,
    add_minutes,
    add_totals,
    insert_new,
    raise_instances,
)
from control_plane.store.usage_tables import usage_events

__all__ = ["SeriesLedger", "SeriesSums"]

_KEY = len(SERIES_KEY)


class SeriesSums:
    """What a batch of events adds to the sums by minute, by hour and since ever."""

    def __init__(self) -> None:
        self._minutes: dict[tuple[Any, ...], list[int]] = {}

    def add(self, event: UsageEvent, sign: int = 1) -> None:
        """Count `event`; with sign -1 take it back."""
        call = event.call
        minute = call.accepted_ms // MINUTE_MS * MINUTE_MS
        key = (call.organization, call.project, call.function, call.version, minute)
        sums = self._minutes.get(key)
        if sums is None:
            sums = self._minutes[key] = [0] * len(SUMS)
        for place, value in enumerate(of_event(event)):
            if value:
                sums[place] += sign * value

    def write(self, connection: Connection) -> None:
        """Store what was collected."""
        minutes = [(*key, *sums) for key, sums in self._minutes.items() if any(sums)]
        add_minutes(connection, minutes)
        _leave_nothing(connection, usage_minutes.c.minute_ms, minutes)
        hours = self._hours()
        add_hours(connection, hours)
        _leave_nothing(connection, usage_hours.c.hour_ms, hours)
        add_totals(connection, self._totals())

    def _hours(self) -> list[tuple[Any, ...]]:
        hours: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(SUMS))
        for key, sums in self._minutes.items():
            hour = hours[*key[:_KEY], key[_KEY] // HOUR_MS * HOUR_MS]
            for place, value in enumerate(sums):
                hour[place] += value
        return [(*key, *sums) for key, sums in hours.items() if any(sums)]

    def _totals(self) -> list[tuple[Any, ...]]:
        totals: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * (len(SUMS) + 1))
        for key, sums in self._minutes.items():
            if not any(sums):
                continue
            total = totals[key[:_KEY]]
            for place, value in enumerate(sums):
                total[place] += value
            total[-1] = max(total[-1], key[_KEY])
        return [(*key, *sums) for key, sums in totals.items()]


def _leave_nothing(connection: Connection, at: Column[int], rows: Sequence[tuple[Any, ...]]) -> None:
    """Delete what a call left that moved to another version or time, as a rebuild would."""
    left = {row[_KEY] for row in rows if row[_KEY + 1] < 0}
    if left:
        connection.execute(delete(at.table).where(at.in_(left)).where(at.table.c.calls <= 0))


class SeriesLedger:
    """The meter's view of the monitor's tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = reaching(engine, EVERYONE)

    def keep(self, readings: list[Reading]) -> None:
        """Store samples of the machine and of what runs on it."""
        rows = [(one.at_ms, *(one.values.get(name) for name in READINGS)) for one in readings]
        instances = [
            (*place, one.at_ms // MINUTE_MS * MINUTE_MS, count)
            for one in readings
            for place, count in one.instances.items()
        ]
        with self._engine.begin() as connection:
            insert_new(connection, monitor_system, ("at_ms", *READINGS), rows)
            raise_instances(connection, instances)

    def prune(self, before_ms: int) -> int:
        """Delete the samples and sums of times that are over by then; return how many rows those were."""
        deleted = 0
        # An hour goes with its last minute.
        hour = before_ms // HOUR_MS * HOUR_MS
        with self._engine.begin() as connection:
            for column, end in (
                (usage_minutes.c.minute_ms, before_ms),
                (usage_hours.c.hour_ms, hour),
                (monitor_instances.c.minute_ms, before_ms),
                (monitor_system.c.at_ms, before_ms),
            ):
                deleted += connection.execute(delete(column.table).where(column < end)).rowcount
        return deleted

    def missing(self) -> bool:
        """Say whether there are calls but no sums of them: the tables are newer than the calls."""
        with self._engine.begin() as connection:
            known = connection.scalar(select(usage_totals.c.last_ms).limit(1))
            return known is None and connection.scalar(select(usage_events.c.seq).limit(1)) is not None

    def rebuild(self, since_ms: int = 0) -> None:
        """Make the sums anew from the events; those by minute and hour from `since_ms` on."""
        event = usage_events.c
        key = [event[name] for name in SERIES_KEY]
        sums = [func.sum(column) for column in _columns()]
        # By position: with parameters in it, a time written twice would be two different ones.
        places = [text(str(place)) for place in range(1, _KEY + 2)]
        last = func.max(event.accepted_ms - event.accepted_ms % MINUTE_MS)
        in_all = select(*key, *sums, last).group_by(*key)
        with self._engine.begin() as connection:
            for at, unit_ms in ((usage_minutes.c.minute_ms, MINUTE_MS), (usage_hours.c.hour_ms, HOUR_MS)):
                start = (event.accepted_ms - event.accepted_ms % unit_ms).label(at.name)
                rows = select(*key, start, *sums).where(event.accepted_ms >= since_ms).group_by(*places)
                connection.execute(delete(at.table))
                connection.execute(at.table.insert().from_select([*SERIES_KEY, at.name, *SUMS], rows))
            connection.execute(delete(usage_totals))
            connection.execute(usage_totals.insert().from_select([*SERIES_KEY, *SUMS, "last_ms"], in_all))


def _columns() -> list[ColumnElement[int]]:
    """Return `domain.series.of_event` in the database's words."""
    event = usage_events.c
    duration = event.ended_ms - event.dispatched_ms
    timed = and_(event.connect_ms >= 0, event.target != "", event.stream != StreamState.OPEN.value)
    columns: list[ColumnElement[int]] = [literal(1)]
    for fault in (Fault.CALLER, Fault.AUTHOR, Fault.PLATFORM):
        outcomes = [outcome.value for outcome, blamed in FAULT_OF.items() if blamed is fault]
        columns.append(case((event.outcome.in_(outcomes), 1), else_=0))
    columns.append(case((event.ready_ms > 0, 1), else_=0))
    columns.append(case((event.queue_ms > 0, event.queue_ms), else_=0))
    columns.append(case((timed, duration), else_=0))
    lower: ColumnElement[bool] = literal(True)
    for bound in BUCKETS_MS:
        columns.append(case((and_(timed, lower, duration <= bound), 1), else_=0))
        lower = duration > bound
    columns.append(case((and_(timed, lower), 1), else_=0))
    return columns
