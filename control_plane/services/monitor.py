"""The monitor: how functions, queues, the API and the machine did over time.

Functions are shown to those who may see their project, the machine only to
those who watch the whole system. Sampling and summing are the meter's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.access import SYSTEM, Permission
from control_plane.domain.identity import Actor
from control_plane.domain.series import API_BUCKETS, SUMS, Span, quantiles
from control_plane.services.changes import Changes, View
from control_plane.store.series_queries import SeriesReader

__all__ = ["Monitor", "MonitorAsked", "Point", "Scraped", "Series"]

_MOST_FUNCTIONS: Final = 50
# For a scraper: versions that nobody called for a day are left out, and never more than these are shown.
_RECENT_MS: Final = 86_400_000
_MOST_SCRAPED: Final = 500
_BUCKET: Final = SUMS.index("bucket_0")
# The parts of the calls whose longest duration a point shows.
_SHOWN: Final = (0.5, 0.95)

SYSTEM_READINGS: Final = (
    "cpu_percent",
    "load",
    "memory_used_mb",
    "memory_total_mb",
    "disk_used_mb",
    "disk_total_mb",
    "connections",
    "queued",
    "instances",
    "lag_lines",
    "lease_s",
)
_API_READINGS: Final = ("api_requests", "api_refused", "api_failed", "api_ms")


@dataclass(frozen=True, slots=True)
class Point:
    """What happened in one step. Durations are of calls that an instance worked on and that ended."""

    at_ms: int
    calls: int = 0
    caller_faults: int = 0
    author_faults: int = 0
    platform_faults: int = 0
    cold_starts: int = 0
    # The mean time that a call waited for a free instance.
    queue_ms: float | None = None
    mean_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    instances: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """One function's, or one version's, points in the order of time; steps without a call are left out."""

    function: str
    version: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class MonitorAsked:
    """Which functions, over which span."""

    span: Span
    project: str = ""
    function: str = ""
    by_version: bool = False


@dataclass(frozen=True, slots=True)
class Scraped:
    """What a scraper is told of one version; `buckets` are not cumulative."""

    function: str
    version: str
    calls: int
    faults: Mapping[str, int]
    cold_starts: int
    duration_ms: int
    buckets: tuple[int, ...]


class Monitor:
    """Questions about numbers over time."""

    def __init__(self, changes: Changes, reader: SeriesReader) -> None:
        self._changes = changes
        self._reader = reader

    def functions(self, actor: Actor, asked: MonitorAsked) -> tuple[Series, ...]:
        """Return the series of the busiest functions that the actor may see, at most 50."""
        projects, function = self._visible(actor, asked)
        found = self._reader.of(actor.organization).busiest(projects, function, asked.span, _MOST_FUNCTIONS)
        if not found:
            return ()
        by = ("function", "version") if asked.by_version else ("function",)
        names = [one for _, one in found]
        instances: dict[tuple[str, ...], int] = {}
        for row in self._reader.of(actor.organization).instances(projects, names, asked.span, by):
            instances[tuple(row[:-1])] = int(row[-1])
        points: dict[tuple[str, ...], list[Point]] = defaultdict(list)
        for row in self._reader.of(actor.organization).steps(projects, names, asked.span, by):
            key = tuple(row[1 : 1 + len(by)])
            points[key].append(_point(row[0], row[1 + len(by) :], instances.get((row[0], *key), 0)))
        order = {name: place for place, name in enumerate(names)}
        return tuple(
            Series(key[0], key[1] if asked.by_version else "", tuple(points[key]))
            for key in sorted(points, key=lambda key: (order[key[0]], key))
        )

    def queue(self, actor: Actor, asked: MonitorAsked) -> tuple[Point, ...]:
        """Return how long calls waited in the projects that the actor may see, all functions together."""
        projects, function = self._visible(actor, asked)
        rows = self._reader.of(actor.organization).waits(projects, function, asked.span)
        return tuple(
            Point(at_ms=int(at_ms), calls=int(calls), queue_ms=round(int(queue_ms) / int(calls), 1))
            for at_ms, calls, queue_ms in rows
            if calls
        )

    def system(self, actor: Actor, span: Span) -> Sequence[Mapping[str, Any]]:
        """Return the machine's samples, averaged by step."""
        return self._readings(actor, span, SYSTEM_READINGS)

    def api(self, actor: Actor, span: Span) -> Sequence[Mapping[str, Any]]:
        """Return requests of the API as the gateway saw them; counts are of a sample's ten seconds.

        `api_p95_ms` is what its own processes measured, over all requests of the step.
        """
        found, behind = [], 1 + len(_API_READINGS)
        for row in self._raw_readings(actor, span, (*_API_READINGS, *API_BUCKETS)):
            # Means of the samples' counts: their quantiles are those of the sums.
            buckets = [float(value or 0) for value in row[behind:]]
            (most,) = quantiles(buckets, (0.95,)) or (None,)
            shown = _rounded(_API_READINGS, row[1:behind])
            found.append({"at_ms": int(row[0]), **shown, "api_p95_ms": most})
        return found

    def scrape(self, actor: Actor) -> tuple[list[Scraped], Sequence[Any], Mapping[str, float | None]]:
        """Return versions' counts, (function, version, instances), and the machine's newest sample.

        The sample is empty for those who do not watch the whole system.
        """
        with self._changes.read(actor) as view:
            view.require_organization(Permission.MONITOR_READ)
            whole, now_ms = _sees_system(view), view.now_ms
        rows = self._reader.of(actor.organization).totals(
            actor.organization, now_ms - _RECENT_MS, _MOST_SCRAPED
        )
        running = self._reader.of(actor.organization).running(actor.organization, now_ms - 120_000)
        shown = {(row[1], row[2]) for row in rows}
        return (
            [_scraped(row) for row in rows],
            [row for row in running if (row[0], row[1]) in shown],
            self._reader.newest() if whole else {},
        )

    def _readings(self, actor: Actor, span: Span, names: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        rows = self._raw_readings(actor, span, names)
        return [{"at_ms": int(row[0]), **_rounded(names, row[1:])} for row in rows]

    def _raw_readings(self, actor: Actor, span: Span, names: Sequence[str]) -> Sequence[Any]:
        with self._changes.read(actor) as view:
            view.require_system(Permission.MONITOR_READ)
        return self._reader.readings(span, names)

    def _visible(self, actor: Actor, asked: MonitorAsked) -> tuple[Collection[str], str]:
        """Return the ids of the projects and of the function that are meant."""
        with self._changes.read(actor) as view:
            if asked.function:
                function, project = view.function(asked.function, Permission.MONITOR_READ)
                return (project.id,), function.id
            if asked.project:
                return (view.project(asked.project, Permission.MONITOR_READ).id,), ""
            known = view.unit.identity.projects(view.organization)
            return tuple(one.id for one in known if view.allows(Permission.MONITOR_READ, one.scope)), ""


def _sees_system(view: View) -> bool:
    return view.allows(Permission.MONITOR_READ, SYSTEM)


def _point(at_ms: int, sums: Sequence[int], instances: int) -> Point:
    calls, caller, author, platform, cold, queue_ms, duration_ms = sums[:_BUCKET]
    buckets = sums[_BUCKET:]
    timed = sum(buckets)
    middle, most = quantiles(buckets, _SHOWN) or (None, None)
    return Point(
        at_ms=at_ms,
        calls=calls,
        caller_faults=caller,
        author_faults=author,
        platform_faults=platform,
        cold_starts=cold,
        queue_ms=round(queue_ms / calls, 1) if calls else None,
        mean_ms=round(duration_ms / timed, 1) if timed else None,
        p50_ms=middle,
        p95_ms=most,
        instances=instances,
    )


def _scraped(row: Sequence[Any]) -> Scraped:
    _, function, version, *values = row
    calls, caller, author, platform, cold, _, duration_ms = (int(value) for value in values[:_BUCKET])
    return Scraped(
        function=function,
        version=version,
        calls=calls,
        faults={"caller": caller, "author": author, "platform": platform},
        cold_starts=cold,
        duration_ms=duration_ms,
        buckets=tuple(int(value) for value in values[_BUCKET:]),
    )


def _rounded(names: Sequence[str], values: Sequence[Any]) -> dict[str, float | None]:
    return {
        name: None if value is None else round(float(value), 2)
        for name, value in zip(names, values, strict=True)
    }
