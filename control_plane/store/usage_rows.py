"""Rows of the usage database <-> the domain's values, and the sums by hour and day that one event adds to.

Translation only: nothing here runs a statement or decides what a call counts as.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from control_plane.domain.metering import (
    DAY_MS,
    HOUR_MS,
    Call,
    Outcome,
    StreamState,
    UsageEvent,
)
from control_plane.store.usage_tables import usage_events

__all__ = ["EVENT_COLUMNS", "HourlySums", "event_of_row", "row_of_event"]

# Every column but the running number, in the order of `row_of_event`.
EVENT_COLUMNS = tuple(column.name for column in usage_events.columns if column.name != "seq")

_CALL_FIELDS = len(Call._fields)
_TRACE_ID = 32


def row_of_event(event: UsageEvent) -> tuple[Any, ...]:
    """Return the values of EVENT_COLUMNS; plain types, as the drivers are slow with others."""
    call = event.call
    if len(call.trace) > _TRACE_ID:
        # Where in its trace a call stood is told by its span; only the trace is kept.
        call = call._replace(trace=call.trace[:_TRACE_ID])
    return (
        *call,
        event.stream.value,
        event.ready_ms,
        event.exit_reason,
        event.dispatched_ms,
        event.ended_ms,
        event.broken,
        event.outcome.value,
        event.cold_ms,
        event.billed_ms,
    )


def event_of_row(row: Row[Any]) -> UsageEvent:
    """Return the event of a row that has all columns, `seq` first."""
    call = Call(*row[1 : 1 + _CALL_FIELDS])
    return UsageEvent(
        call,
        StreamState(row.stream),
        row.ready_ms,
        row.exit_reason,
        row.dispatched_ms,
        row.ended_ms,
        row.broken,
        Outcome(row.outcome),
        row.cold_ms,
        row.billed_ms,
    )


class HourlySums:
    """Collects what events add to (or take from) usage_hourly, one row for each key."""

    def __init__(self) -> None:
        self._sums: dict[tuple[Any, ...], list[int]] = {}

    def add(self, event: UsageEvent, sign: int = 1) -> None:
        """Count `event`; with sign -1 take it back."""
        call = event.call
        key = (
            call.accepted_ms // HOUR_MS * HOUR_MS,
            call.organization,
            call.project,
            call.function,
            call.version,
            call.api_key,
            event.outcome.value,
        )
        sums = self._sums.get(key)
        if sums is None:
            sums = self._sums[key] = [0] * 7
        sums[0] += sign
        if event.billed_ms:
            sums[1] += sign
            sums[3] += sign * event.billed_ms
            sums[4] += sign * event.memory_mb_ms
        if event.ready_ms:
            sums[2] += sign
        sums[5] += sign * call.bytes_in
        sums[6] += sign * call.bytes_out

    def rows(self) -> list[tuple[Any, ...]]:
        """Return (key…, sums…) of every key that changes."""
        return [(*key, *sums) for key, sums in self._sums.items() if any(sums)]

    def days(self) -> list[tuple[Any, ...]]:
        """Return the same by day, in UTC."""
        days: dict[tuple[Any, ...], list[int]] = {}
        for key, sums in self._sums.items():
            day = days.setdefault((key[0] // DAY_MS * DAY_MS, *key[1:]), [0] * len(sums))
            for place, value in enumerate(sums):
                day[place] += value
        return [(*key, *sums) for key, sums in days.items() if any(sums)]
