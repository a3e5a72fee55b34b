"""Finds the host's records that concern calls, and the calls that a late host record concerns.

Queries only; whether a record really explains a call is decided by the domain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, select

from control_plane.domain.metering import (
    ANSWER_SLACK_MS,
    EXIT_SLACK_MS,
    InstanceExit,
    InstanceStart,
    UsageEvent,
    dispatch_window,
    explain,
    rate,
    waited_for,
)
from control_plane.store.usage_tables import host_exits, host_starts, usage_events, usage_hourly

__all__ = ["Evidence", "affected_rows", "chunked"]

# SQLite before 3.32 allows 999 parameters in a statement.
_CHUNK = 500


_Item = TypeVar("_Item")


def chunked(values: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Yield lists that are short enough for one IN (…)."""
    rest = list(values)
    for first in range(0, len(rest), _CHUNK):
        yield rest[first : first + _CHUNK]


class Evidence:
    """What the host recorded about a set of calls."""

    def __init__(self, connection: Connection, events: Sequence[UsageEvent]) -> None:
        self._starts: dict[str, list[InstanceStart]] = defaultdict(list)
        self._exits: dict[str, list[InstanceExit]] = defaultdict(list)
        reached = [event for event in events if event.call.target]
        if reached:
            self._load_starts(connection, reached)
        broken = [event for event in reached if event.broken]
        if broken:
            self._load_exits(connection, broken)

    def judge(self, event: UsageEvent) -> UsageEvent:
        """Return the event, rated by all that is known of it."""
        target = event.call.target
        starts = self._starts.get(target)
        ready_ms = waited_for(event, starts) if starts else 0
        reason = explain(event, self._exits.get(target, ())) if event.broken else ""
        if ready_ms == event.ready_ms and reason == event.exit_reason:
            return event
        return rate(event.call, event.stream, ready_ms, reason)

    def _load_starts(self, connection: Connection, events: Sequence[UsageEvent]) -> None:
        ready = host_starts.c.ready_ms
        query = (
            select(host_starts)
            .where(ready >= min(event.dispatched_ms for event in events))
            .where(ready <= max(event.ended_ms for event in events) + ANSWER_SLACK_MS)
            .order_by(ready, host_starts.c.instance)
        )
        for row in connection.execute(query):
            self._starts[row.target].append(InstanceStart(*row))

    def _load_exits(self, connection: Connection, events: Sequence[UsageEvent]) -> None:
        first = min(event.dispatched_ms for event in events)
        last = max(event.ended_ms for event in events) + EXIT_SLACK_MS
        for targets in chunked({event.call.target for event in events}):
            query = (
                select(host_exits)
                .where(host_exits.c.target.in_(targets))
                .where(host_exits.c.at_ms.between(first, last))
            )
            for row in connection.execute(query):
                self._exits[row.target].append(InstanceExit(*row))


def affected_rows(
    connection: Connection, starts: Iterable[InstanceStart], exits: Iterable[InstanceExit]
) -> list[Row[Any]]:
    """Return the stored calls that these host records may concern, each once."""
    found: dict[int, Row[Any]] = {}
    event = usage_events.c
    for start in starts:
        functions = select(usage_hourly.c.function).where(usage_hourly.c.version == start.version).distinct()
        for function in connection.scalars(functions).all():
            query = (
                select(usage_events)
                .where(event.function == function)
                .where(event.dispatched_ms.between(*dispatch_window(start)))
                .where(event.target == start.target)
            )
            found.update({row.seq: row for row in connection.execute(query)})
    for end in exits:
        query = (
            select(usage_events)
            .where(event.broken)
            .where(event.target == end.target)
            .where(event.ended_ms >= end.at_ms - EXIT_SLACK_MS)
            .where(event.dispatched_ms <= end.at_ms)
        )
        found.update({row.seq: row for row in connection.execute(query)})
    return list(found.values())
