"""Reads the monitor's series: sums by minute or hour, instances, samples of the machine, sums since ever.

Never writes. Spans are whole steps; what the numbers mean is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Engine, Select, cast, func, select

from control_plane.domain.metering import HOUR_MS
from control_plane.domain.series import SUMS, Span
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

__all__ = ["SeriesReader"]


class SeriesReader:
    """Queries of the series."""

    def __init__(self, engine: Engine, reach: str = EVERYONE) -> None:
        self._engine = reaching(engine.execution_options(ingot_read_only=True), reach)

    def of(self, organization: str) -> SeriesReader:
        """Return the same queries, to which other organizations' rows are not shown."""
        return SeriesReader(self._engine, organization)

    def busiest(
        self, projects: Collection[str], function: str, span: Span, limit: int
    ) -> list[tuple[str, str]]:
        """Return (project, function) of those with the most calls in the span."""
        kept, at = _kept(span)
        query = (
            select(kept.project, kept.function)
            .where(kept.project.in_(projects), *_within(at, span))
            .group_by(kept.project, kept.function)
            .order_by(func.sum(kept.calls).desc(), kept.function)
            .limit(limit)
        )
        if function:
            query = query.where(kept.function == function)
        return [(row[0], row[1]) for row in self._all(query)]

    def steps(
        self, projects: Collection[str], functions: Collection[str], span: Span, by: Collection[str]
    ) -> Sequence[Any]:
        """Return (step, by…, sums…) of these functions; `by` names columns of the key."""
        kept, at = _kept(span)
        step = (at - at % span.step_ms).label("step")
        keys = [kept[name] for name in by]
        # Grouped outside: an expression with parameters, sent twice, would be two different ones.
        rows = (
            select(step, *keys, *(kept[name] for name in SUMS))
            .where(kept.project.in_(projects), *_within(at, span))
            .where(kept.function.in_(functions))
            .subquery()
        )
        grouped = [rows.c.step, *(rows.c[name] for name in by)]
        # PostgreSQL adds whole numbers up to a kind that is slow to read and to reckon with.
        sums = [cast(func.sum(rows.c[name]), BigInteger).label(name) for name in SUMS]
        return self._all(select(*grouped, *sums).group_by(*grouped).order_by(*grouped))

    def waits(self, projects: Collection[str], function: str, span: Span) -> Sequence[Any]:
        """Return (step, calls, their time in the queue) of these projects, of one function if named."""
        kept, at = _kept(span)
        step = (at - at % span.step_ms).label("step")
        query = select(step, kept.calls, kept.queue_ms).where(kept.project.in_(projects), *_within(at, span))
        if function:
            query = query.where(kept.function == function)
        rows = query.subquery()
        sums = func.sum(rows.c.calls), func.sum(rows.c.queue_ms)
        return self._all(select(rows.c.step, *sums).group_by(rows.c.step).order_by(rows.c.step))

    def instances(
        self, projects: Collection[str], functions: Collection[str], span: Span, by: Collection[str]
    ) -> Sequence[Any]:
        """Return (step, by…, most instances at once) of these functions."""
        known = monitor_instances.c
        keys = [known[name] for name in by]
        # First what ran at the same minute, then the most of a step.
        minutes = (
            select(known.minute_ms, *keys, func.sum(known.instances).label("instances"))
            .where(known.project.in_(projects), *_within(known.minute_ms, span))
            .where(known.function.in_(functions))
            .group_by(known.minute_ms, *keys)
            .subquery()
        )
        step = (minutes.c.minute_ms - minutes.c.minute_ms % span.step_ms).label("step")
        rows = select(step, *(minutes.c[name] for name in by), minutes.c.instances).subquery()
        grouped = [rows.c.step, *(rows.c[name] for name in by)]
        return self._all(select(*grouped, func.max(rows.c.instances)).group_by(*grouped))

    def readings(self, span: Span, names: Collection[str]) -> Sequence[Any]:
        """Return (step, mean of each reading…) of the machine's samples."""
        at = monitor_system.c.at_ms
        step = (at - at % span.step_ms).label("step")
        rows = select(step, *(monitor_system.c[name] for name in names)).where(*_within(at, span)).subquery()
        means = [func.avg(rows.c[name]) for name in names]
        return self._all(select(rows.c.step, *means).group_by(rows.c.step).order_by(rows.c.step))

    def newest(self) -> dict[str, float | None]:
        """Return the newest sample's readings and `at_ms`; nothing before the first."""
        query = select(monitor_system).order_by(monitor_system.c.at_ms.desc()).limit(1)
        row = next(iter(self._all(query)), None)
        return dict(zip(("at_ms", *READINGS), row, strict=True)) if row is not None else {}

    def totals(self, organization: str, since_ms: int, limit: int) -> Sequence[Any]:
        """Return (project, function, version, sums…) of versions called since then, the newest first."""
        total = usage_totals.c
        query = (
            select(*(total[name] for name in SERIES_KEY[1:]), *(total[name] for name in SUMS))
            .where(total.organization == organization, total.last_ms >= since_ms)
            .order_by(total.last_ms.desc(), total.function, total.version)
            .limit(limit)
        )
        return self._all(query)

    def running(self, organization: str, since_ms: int) -> Sequence[Any]:
        """Return (function, version, instances) of the newest minute of each version since then."""
        known = monitor_instances.c
        query = (
            select(known.function, known.version, known.minute_ms, known.instances)
            .where(known.minute_ms >= since_ms, known.organization == organization)
            .order_by(known.minute_ms)
        )
        newest = {(row[0], row[1]): int(row[3]) for row in self._all(query)}
        return [(*key, count) for key, count in newest.items()]

    def _all(self, query: Select[Any]) -> Sequence[Any]:
        with self._engine.begin() as connection:
            return connection.execute(query).all()


def _kept(span: Span) -> tuple[Any, Column[int]]:
    """Return the columns of the coarsest sums that the span's steps are made of, and the one of time."""
    if span.step_ms % HOUR_MS == 0:
        return usage_hours.c, usage_hours.c.hour_ms
    return usage_minutes.c, usage_minutes.c.minute_ms


def _within(column: Column[int], span: Span) -> tuple[ColumnElement[bool], ...]:
    return column >= span.start_ms, column < span.end_ms
