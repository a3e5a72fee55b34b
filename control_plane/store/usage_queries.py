"""Reads usage: sums by hour and day, and the counts that a reconciliation compares.

Never writes, so any process may use it beside the meter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Engine,
    Select,
    Table,
    bindparam,
    case,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.exc import DBAPIError

from control_plane.domain.metering import DAY_MS, StreamState
from control_plane.errors import Unavailable
from control_plane.store.prepared import find_rows
from control_plane.store.tenant_wall import EVERYONE, reaching
from control_plane.store.usage_retention import events_kept_from
from control_plane.store.usage_tables import (
    HOURLY_KEY,
    HOURLY_SUMS,
    host_exits,
    host_starts,
    log_hours,
    log_rejects,
    usage_daily,
    usage_ends,
    usage_events,
    usage_hourly,
)

__all__ = ["UsageReader"]

# A usage id begins with the moment at which it was minted, in 13 digits until the year 2286. It is
# within this of the record's own time, so the index of ids finds a span of time too.
_MINTED_WITHIN_MS: Final = 60_000


class UsageReader:
    """Queries of the usage database; times are Unix milliseconds, ends are exclusive."""

    def __init__(self, engine: Engine, reach: str = EVERYONE) -> None:
        self._engine = reaching(engine.execution_options(ingot_read_only=True), reach)

    def of(self, organization: str) -> UsageReader:
        """Return the same queries, to which other organizations' rows are not shown."""
        return UsageReader(self._engine, organization)

    def answers(self) -> None:
        """Return when the database answers. Raises Unavailable."""
        try:
            self._all(select(log_hours.c.hour_ms).limit(1))
        except DBAPIError as error:
            raise Unavailable("The usage database does not answer.") from error

    def totals(
        self, project: str, span: tuple[int, int], group: str, only: Mapping[str, str]
    ) -> Sequence[Any]:
        """Return (group, outcome, sums…) for whole hours; `group` is `day` or a column of usage_hourly.

        `only` holds values of such columns that alone are summed.
        """
        parts = tuple(_tables(span, group))
        statement = _totals(tuple(table for table, _ in parts), group, tuple(only))
        values: dict[str, Any] = {"project": project, **{f"only_{name}": one for name, one in only.items()}}
        for number, (_, bounds) in enumerate(parts):
            values |= {f"start_{number}": bounds[0], f"end_{number}": bounds[1]}
        with self._engine.begin() as connection:
            return find_rows(connection, statement, values)

    def finest(self, projects: Collection[str], span: tuple[int, int], unit_ms: int) -> Sequence[Any]:
        """Return (unit, project, function, version, key, outcome, sums…) of some projects, in this order."""
        sums = usage_hourly.c
        unit = (sums.hour_ms - sums.hour_ms % unit_ms).label("unit")
        names = ("project", *HOURLY_KEY[3:])
        rows = (
            select(unit, *(sums[name] for name in (*names, *HOURLY_SUMS)))
            .where(sums.project.in_(projects), sums.hour_ms >= span[0], sums.hour_ms < span[1])
            .subquery()
        )
        key = [rows.c.unit, *(rows.c[name] for name in names)]
        added = [func.sum(rows.c[name]) for name in HOURLY_SUMS]
        return self._all(select(*key, *added).group_by(*key).order_by(*key))

    def kept_from(self) -> int:
        """Return the hour from which on every call is there; earlier ones may be gone."""
        with self._engine.begin() as connection:
            return events_kept_from(connection)

    def counted(self, span: tuple[int, int]) -> dict[str, int]:
        """Return how many calls the log held and the tables hold, by where they were counted."""
        hours = (log_hours.c.hour_ms >= span[0]) & (log_hours.c.hour_ms < span[1])
        sums = (usage_hourly.c.hour_ms >= span[0]) & (usage_hourly.c.hour_ms < span[1])
        seen = log_rejects.c.seen_ms
        event = usage_events.c
        queries: dict[str, Select[Any]] = {
            "records": select(func.sum(log_hours.c.records)).where(hours),
            "repeated": select(func.sum(log_hours.c.repeated)).where(hours),
            "events": select(func.count()).select_from(usage_events).where(*_within(span)),
            "summed": select(func.sum(usage_hourly.c.calls)).where(sums),
            "rejects": select(func.count()).where(seen >= span[0], seen < span[1]),
            "open_streams": select(func.count()).where(
                event.stream == StreamState.OPEN.value, *_within(span)
            ),
            "lost_streams": select(func.count()).where(
                event.stream == StreamState.LOST.value, *_within(span)
            ),
            "ends_without_call": select(func.count()).where(
                usage_ends.c.started_ms >= span[0], usage_ends.c.started_ms < span[1]
            ),
        }
        with self._engine.begin() as connection:
            return {name: int(connection.scalar(query) or 0) for name, query in queries.items()}

    def reached(self, span: tuple[int, int]) -> dict[str, tuple[int, int]]:
        """Return, for each target, the calls that were handed to instances, and how many broke off."""
        event = usage_events.c
        broken = func.sum(case((event.broken, 1), else_=0))
        query = (
            select(event.target, func.count(), broken)
            .where(*_within(span), event.target != "", event.connect_ms >= 0)
            .group_by(event.target)
        )
        return {row[0]: (int(row[1]), int(row[2])) for row in self._all(query)}

    def served(self, span: tuple[int, int]) -> dict[str, int]:
        """Return, for each target, the calls that instances which ended in the span say they served."""
        end = host_exits.c
        query = (
            select(end.target, func.sum(end.served))
            .where(end.at_ms >= span[0], end.at_ms < span[1])
            .group_by(end.target)
        )
        return {row[0]: int(row[1]) for row in self._all(query)}

    def crossing(self, span: tuple[int, int]) -> set[str]:
        """Return the targets with an instance that lived on one side of the span as well as inside."""
        begin, end = host_starts.c, host_exits.c
        query = (
            select(begin.target)
            .distinct()
            .select_from(host_starts.outerjoin(host_exits, begin.instance == end.instance))
            .where(begin.activated_ms < span[1])
            .where(or_(end.at_ms.is_(None), end.at_ms >= span[0]))
            .where(or_(end.at_ms.is_(None), end.at_ms >= span[1], begin.activated_ms < span[0]))
        )
        return {row[0] for row in self._all(query)}

    def last_used(self, keys: Sequence[str]) -> dict[str, int]:
        """Return, for each of at most 100 keys that ever called, the hour in which it last did."""
        if not keys:
            return {}
        # One look at the index's end for each key, all in one statement.
        newest = [
            select(func.max(usage_hourly.c.hour_ms)).where(usage_hourly.c.api_key == key).scalar_subquery()
            for key in keys
        ]
        row = self._all(select(*(one.label(f"k{number}") for number, one in enumerate(newest))))[0]
        return {key: int(hour) for key, hour in zip(keys, row, strict=True) if hour is not None}

    def _all(self, query: Select[Any]) -> Sequence[Any]:
        with self._engine.begin() as connection:
            return connection.execute(query).all()


def _tables(span: tuple[int, int], group: str) -> Iterator[tuple[Table, tuple[int, int]]]:
    """Yield the sums that a span of whole hours is made of: by day, and by hour before and after those."""
    start, end = span
    first, last = -(-start // DAY_MS) * DAY_MS, end // DAY_MS * DAY_MS
    if group == "hour_ms" or first >= last:
        yield usage_hourly, span
        return
    yield usage_daily, (first, last)
    for edge in ((start, first), (last, end)):
        if edge[0] < edge[1]:
            yield usage_hourly, edge


# There are a few ways in which days and hours make a span, and to build this takes longer than to ask it.
@cache
def _totals(tables: tuple[Table, ...], group: str, only: tuple[str, ...]) -> Select[Any]:
    parts = (
        _part(table, group, number).where(*(table.c[name] == bindparam(f"only_{name}") for name in only))
        for number, table in enumerate(tables)
    )
    # Grouped outside: an expression with parameters, sent twice, would be two different ones.
    grouped = union_all(*parts).subquery()
    sums = [func.sum(grouped.c[name]).label(name) for name in HOURLY_SUMS]
    key = (grouped.c.grouped, grouped.c.outcome)
    return select(*key, *sums).group_by(*key).order_by(*key)


def _part(table: Table, group: str, number: int) -> Select[Any]:
    kept = table.c
    at = kept.day_ms if table is usage_daily else kept.hour_ms
    label = at - at % DAY_MS if group == "day" else kept[group]
    named = select(label.label("grouped"), kept.outcome, *(kept[name] for name in HOURLY_SUMS))
    bounds = at >= bindparam(f"start_{number}"), at < bindparam(f"end_{number}")
    return named.where(*bounds, kept.project == bindparam("project"))


def _within(span: tuple[int, int]) -> tuple[ColumnElement[bool], ...]:
    event = usage_events.c
    return (
        event.id >= f"{max(span[0] - _MINTED_WITHIN_MS, 0):013d}",
        event.id < f"{span[1] + _MINTED_WITHIN_MS:013d}",
        event.accepted_ms >= span[0],
        event.accepted_ms < span[1],
    )
