"""Stores one batch inside a transaction: new calls, what completes older ones, and the sums they change.

Knows which records belong together and in which order statements must run. The
transaction itself, and what happens when it fails, is the ledger's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from control_plane.domain.metering import (
    HOUR_MS,
    Call,
    StreamEnd,
    StreamState,
    UsageEvent,
    complete,
    rate,
)
from control_plane.store.usage_evidence import Evidence, affected_rows, chunked
from control_plane.store.usage_intake import Intake
from control_plane.store.usage_rows import EVENT_COLUMNS, HourlySums, event_of_row, row_of_event
from control_plane.store.usage_series import SeriesSums
from control_plane.store.usage_statements import add_daily, add_hourly, add_log_hours, insert_all, insert_new
from control_plane.store.usage_tables import (
    HOURLY_KEY,
    host_exits,
    host_starts,
    log_rejects,
    usage_daily,
    usage_ends,
    usage_events,
    usage_hourly,
)

__all__ = ["Repeated", "UsageBatch", "unknown_calls"]


# Where the first sum, the number of calls, stands in a row of HourlySums.
_CALLS = len(HOURLY_KEY)


class Repeated(Exception):
    """The batch holds calls that are stored already."""


class UsageBatch:
    """One intake on its way into the tables."""

    def __init__(self, connection: Connection, intake: Intake) -> None:
        self._connection = connection
        self._intake = intake
        self._sums = HourlySums()
        self._series = SeriesSums()

    def store(self, calls: Sequence[Call]) -> int:
        """Store the batch with `calls` as its new ones and return their number.

        Raises Repeated, with nothing decided, when one of them is stored already.
        """
        self._store_host_records()
        late_ends = self._store_calls(calls)
        self._complete_streams(late_ends)
        # The versions of new calls must be found below, so their sums go first.
        self._write_sums()
        self._review_older_calls()
        self._write_sums()
        self._store_log_facts(calls)
        return len(calls)

    def close(self, rows: Sequence[Row[Any]]) -> None:
        """Close streams of which no end record will come."""
        self._replace((row, rate(event_of_row(row).call, StreamState.LOST)) for row in rows)
        self._write_sums()

    def _store_host_records(self) -> None:
        names = [column.name for column in host_starts.columns]
        insert_new(self._connection, host_starts, names, self._intake.starts)
        names = [column.name for column in host_exits.columns]
        insert_new(self._connection, host_exits, names, self._intake.exits)

    def _store_calls(self, calls: Sequence[Call]) -> dict[str, StreamEnd]:
        """Insert new calls and return the end records that belong to none of them."""
        ends: dict[str, StreamEnd] = {}
        for end in self._intake.ends:
            ends.setdefault(end.id, end)
        streams = [call.id for call in calls if call.streaming]
        early = self._early_ends(streams) if streams else {}
        events = [_rate_new(call, early.get(call.id) or ends.get(call.id)) for call in calls]
        evidence = Evidence(self._connection, events)
        events = [evidence.judge(event) for event in events]
        rows = [row_of_event(event) for event in events]
        if not insert_all(self._connection, usage_events, EVENT_COLUMNS, rows):
            raise Repeated
        for event in events:
            self._sums.add(event)
            self._series.add(event)
        for identifier in streams:
            ends.pop(identifier, None)
        return ends

    def _early_ends(self, identifiers: Sequence[str]) -> dict[str, StreamEnd]:
        """Take the end records that came before their calls out of their waiting place."""
        found: dict[str, StreamEnd] = {}
        for some in chunked(identifiers):
            rows = self._connection.execute(select(usage_ends).where(usage_ends.c.id.in_(some))).all()
            found.update({row.id: StreamEnd(*row) for row in rows})
            if rows:
                self._connection.execute(delete(usage_ends).where(usage_ends.c.id.in_(some)))
        return found

    def _complete_streams(self, ends: dict[str, StreamEnd]) -> None:
        for some in chunked(ends):
            rows = self._connection.execute(select(usage_events).where(usage_events.c.id.in_(some))).all()
            self._replace(
                (row, rate(complete(event_of_row(row).call, ends[row.id]), StreamState.ENDED))
                for row in rows
                if row.stream in (StreamState.OPEN.value, StreamState.LOST.value)
            )
            known = {row.id for row in rows}
            waiting = [ends[identifier] for identifier in some if identifier not in known]
            insert_new(self._connection, usage_ends, StreamEnd._fields, waiting)

    def _review_older_calls(self) -> None:
        rows = affected_rows(self._connection, self._intake.starts, self._intake.exits)
        self._replace((row, event_of_row(row)) for row in rows)

    def _replace(self, changes: Iterable[tuple[Row[Any], UsageEvent]]) -> None:
        """Judge the changed events by all evidence, and store what differs from their rows."""
        pairs = list(changes)
        evidence = Evidence(self._connection, [event for _, event in pairs])
        updates = []
        for row, changed in pairs:
            old, new = event_of_row(row), evidence.judge(changed)
            if new != old:
                for sums in (self._sums, self._series):
                    sums.add(old, -1)
                    sums.add(new)
                updates.append(
                    {"at_seq": row.seq, **dict(zip(EVENT_COLUMNS, row_of_event(new), strict=True))}
                )
        if updates:
            statement = update(usage_events).where(usage_events.c.seq == bindparam("at_seq"))
            self._connection.execute(statement, updates)

    def _write_sums(self) -> None:
        hours, days = self._sums.rows(), self._sums.days()
        add_hourly(self._connection, hours)
        add_daily(self._connection, days)
        for rows, at in ((hours, usage_hourly.c.hour_ms), (days, usage_daily.c.day_ms)):
            left = {row[0] for row in rows if row[_CALLS] < 0}
            if left:
                # Calls moved to another outcome; an empty sum is no row, as in a rebuild.
                empty = at.table.c.calls == 0
                self._connection.execute(delete(at.table).where(at.in_(left)).where(empty))
        self._sums = HourlySums()
        self._series.write(self._connection)
        self._series = SeriesSums()

    def _store_log_facts(self, new: Sequence[Call]) -> None:
        read = Counter(call.accepted_ms // HOUR_MS for call in self._intake.calls)
        fresh = Counter(call.accepted_ms // HOUR_MS for call in new)
        add_log_hours(
            self._connection,
            [(hour * HOUR_MS, count, count - fresh[hour]) for hour, count in read.items()],
        )
        names = ("source", "position", "length", "reason", "sample", "seen_ms")
        rejects = [
            (each.source, each.position, each.length, each.reason, each.sample, self._intake.seen_ms)
            for each in self._intake.rejects
        ]
        insert_new(self._connection, log_rejects, names, rejects)


def unknown_calls(connection: Connection, calls: Sequence[Call]) -> list[Call]:
    """Return the calls that are not stored yet, each once."""
    distinct = {call.id: call for call in reversed(calls)}
    for some in chunked(list(distinct)):
        for identifier in connection.scalars(select(usage_events.c.id).where(usage_events.c.id.in_(some))):
            del distinct[identifier]
    return list(distinct.values())[::-1]


def _rate_new(call: Call, end: StreamEnd | None) -> UsageEvent:
    if not call.streaming:
        return rate(call)
    if end is None:
        return rate(call, StreamState.OPEN)
    return rate(complete(call, end), StreamState.ENDED)
