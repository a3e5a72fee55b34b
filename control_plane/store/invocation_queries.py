"""Finds single calls: lists by what they are of and how they went, one call, and the starts beside it.

Never writes. Lists are in the order of dispatch, newest first, and each walks
one index; what to show of a call is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Select, and_, literal_column, or_, select

from control_plane.domain.metering import HOUR_MS, Outcome
from control_plane.store.tenant_wall import EVERYONE, reaching
from control_plane.store.usage_tables import host_starts, usage_events, usage_hourly

__all__ = ["CallFilter", "InvocationReader"]

# Longer than any queue: a call is dispatched at most this much after the hour that it is summed in.
_LATEST_DISPATCH_MS: Final = HOUR_MS
# So many hours of sums are looked at together; a day's worth answers most questions.
_HOURS_AT_ONCE: Final = 24


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls are meant; empty fields mean all. Times are of dispatch, the end is exclusive."""

    function: str = ""
    version: str = ""
    api_key: str = ""
    outcomes: Collection[Outcome] = ()
    # The first and last status, both included.
    status: tuple[int, int] | None = None
    streaming: bool | None = None
    cold: bool | None = None
    start_ms: int = 0
    end_ms: int = 0


class InvocationReader:
    """Queries about calls."""

    def __init__(self, engine: Engine, reach: str = EVERYONE) -> None:
        self._engine = reaching(engine.execution_options(ingot_read_only=True), reach)
        self._sqlite = engine.dialect.name == "sqlite"

    def of(self, organization: str) -> InvocationReader:
        """Return the same queries, to which other organizations' rows are not shown."""
        return InvocationReader(self._engine, organization)

    def calls(
        self, project: str, wanted: CallFilter, before: tuple[int, int] | None, limit: int
    ) -> list[Any]:
        """Return a project's newest calls; `before` is (dispatched_ms, seq) of the last one seen."""
        query = self._query(project, wanted, before)
        if not (wanted.version or wanted.api_key or wanted.cold):
            return list(self._all(query.limit(limit)))
        dispatched = usage_events.c.dispatched_ms
        found: list[Any] = []
        for start, end in self._spans(project, wanted, before):
            part = query.where(dispatched >= start).where(dispatched < end)
            found += self._all(part.limit(limit - len(found)))
            if len(found) >= limit:
                break
        return found

    def by_request(self, organization: str, request: str, limit: int) -> list[Any]:
        """Return the calls with this usage id or request id, oldest first."""
        event = usage_events.c
        mine = event.organization == organization
        chosen = select(usage_events).where(event.request_id == request).where(event.request_id != "")
        rows = [
            *self._all(select(usage_events).where(event.id == request).where(mine)),
            *self._all(chosen.where(mine).order_by(event.seq).limit(limit)),
        ]
        return sorted(rows, key=lambda row: int(row.seq))[:limit]

    def one(self, organization: str, usage: str) -> Any | None:
        """Return the call with this usage id."""
        event = usage_events.c
        query = select(usage_events).where(event.id == usage, event.organization == organization)
        return next(iter(self._all(query)), None)

    def start(self, target: str, ready_ms: int) -> Any | None:
        """Return the start of an instance that was ready at this moment."""
        begin = host_starts.c
        query = select(host_starts).where(begin.ready_ms == ready_ms, begin.target == target)
        return next(iter(self._all(query.order_by(begin.instance).limit(1))), None)

    def _query(self, project: str, wanted: CallFilter, before: tuple[int, int] | None) -> Select[Any]:
        event = usage_events.c
        query = select(usage_events).where(event.project == project).where(*_conditions(wanted))
        if before:
            older = and_(event.dispatched_ms == before[0], event.seq < before[1])
            query = query.where(event.dispatched_ms <= before[0])
            query = query.where(or_(event.dispatched_ms < before[0], older))
        if wanted.start_ms:
            query = query.where(event.dispatched_ms >= wanted.start_ms)
        if wanted.end_ms:
            query = query.where(event.dispatched_ms < wanted.end_ms)
        index = self._index(wanted)
        if index == "usage_events_trouble":
            # In the words of the index, here and below, so that it is seen to hold all that is asked for.
            query = query.where(event.outcome != literal_column("'answered'"))
        if index == "usage_events_streaming":
            query = query.where(literal_column("usage_events.streaming"))
        if self._sqlite:
            # Between two indexes that fit, it would take any, and walk every call of the project.
            query = query.with_hint(usage_events, f"INDEXED BY {index}", "sqlite")
        return query.order_by(event.dispatched_ms.desc(), event.seq.desc())

    def _index(self, wanted: CallFilter) -> str:
        good = not wanted.outcomes or Outcome.ANSWERED in wanted.outcomes
        # What was answered has a status below 400.
        if not good or (wanted.status and wanted.status[0] >= 400):
            return "usage_events_trouble"
        if wanted.streaming:
            return "usage_events_streaming"
        return "usage_events_function" if wanted.function else "usage_events_project"

    def _spans(
        self, project: str, wanted: CallFilter, before: tuple[int, int] | None
    ) -> Iterator[tuple[int, int]]:
        """Yield the spans of time in which the sums know such calls, newest first, without overlap.

        Without an index of its own, a rare version or key would otherwise be
        looked for in every call between two of its own.
        """
        query = self._hours(project, wanted)
        newest = min(before[0] if before else wanted.end_ms, wanted.end_ms or 1 << 62) or 1 << 62
        lowest = 1 << 62
        while True:
            rows = self._all(query.where(usage_hourly.c.hour_ms <= newest).limit(_HOURS_AT_ONCE))
            for start, end in _joined([int(row[0]) for row in rows]):
                yield start, min(end, lowest)
                lowest = start
            if len(rows) < _HOURS_AT_ONCE:
                return
            newest = int(rows[-1][0]) - 1

    def _hours(self, project: str, wanted: CallFilter) -> Select[Any]:
        sums = usage_hourly.c
        query = select(sums.hour_ms).where(sums.project == project)
        for column, value in (
            (sums.function, wanted.function),
            (sums.version, wanted.version),
            (sums.api_key, wanted.api_key),
        ):
            if value:
                query = query.where(column == value)
        if wanted.outcomes:
            query = query.where(sums.outcome.in_([outcome.value for outcome in wanted.outcomes]))
        if wanted.cold:
            query = query.where(sums.cold_calls > 0)
        if wanted.start_ms:
            query = query.where(sums.hour_ms >= wanted.start_ms - HOUR_MS - _LATEST_DISPATCH_MS)
        return query.group_by(sums.hour_ms).order_by(sums.hour_ms.desc())

    def _all(self, query: Select[Any]) -> Sequence[Any]:
        with self._engine.begin() as connection:
            return connection.execute(query).all()


def _joined(hours: list[int]) -> list[tuple[int, int]]:
    """Join hours that follow each other into spans, newest first."""
    spans: list[tuple[int, int]] = []
    for hour in hours:
        end = hour + HOUR_MS + _LATEST_DISPATCH_MS
        if spans and end >= spans[-1][0]:
            spans[-1] = (hour, spans[-1][1])
        else:
            spans.append((hour, end))
    return spans


def _conditions(wanted: CallFilter) -> list[ColumnElement[bool]]:
    event = usage_events.c
    found: list[ColumnElement[bool]] = []
    for column, value in (
        (event.function, wanted.function),
        (event.version, wanted.version),
        (event.api_key, wanted.api_key),
    ):
        if value:
            found.append(column == value)
    if wanted.outcomes:
        found.append(event.outcome.in_(sorted(outcome.value for outcome in wanted.outcomes)))
    if wanted.status:
        found.append(event.status.between(*wanted.status))
    if wanted.streaming is not None:
        found.append(event.streaming if wanted.streaming else ~event.streaming)
    if wanted.cold is not None:
        found.append(event.ready_ms > 0 if wanted.cold else event.ready_ms == 0)
    return found
