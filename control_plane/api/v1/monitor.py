"""Numbers over time: functions, waiting, the API and the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.schemas import Output, Time
from control_plane.api.spans import SpanQuery
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor
from control_plane.domain.series import Span, span_of
from control_plane.services.monitor import MonitorAsked, Series

blueprint = make_blueprint("monitor")

_MINUTE_S, _SAMPLE_S = 60, 10


class SeriesQuery(SpanQuery):
    """Which span, and how far apart its points are."""

    step: Annotated[int, Field(ge=0, le=86_400, description="Seconds; 0 picks one for about 50 points.")] = 0

    def span(self, shortest_s: int) -> Span:
        """Return the span in whole steps; the last hour when nothing is said."""
        start, end = self.bounds(1)
        return span_of(start, end, self.step, shortest_s=shortest_s)


class FunctionSeriesQuery(SeriesQuery):
    """Whose series."""

    project: Annotated[str, Field(max_length=80, description="Id or name.")] = ""
    function: Annotated[str, Field(max_length=80, description="Id or name.")] = ""
    by_version: Annotated[bool, Field(description="One series for each version.")] = False

    def asked(self) -> MonitorAsked:
        """Return what the service is asked."""
        return MonitorAsked(self.span(_MINUTE_S), self.project, self.function, self.by_version)


class QueueQuery(SeriesQuery):
    """Whose queue."""

    project: Annotated[str, Field(max_length=80, description="Id or name.")] = ""
    function: Annotated[str, Field(max_length=80, description="Id or name.")] = ""


class PointOut(Output):
    """What happened in one step; a step without a call is left out."""

    at: Annotated[Time, Field(validation_alias="at_ms")]
    calls: int
    caller_faults: int
    author_faults: int
    platform_faults: int
    cold_starts: int
    queue_ms: float | None
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    instances: int


class SeriesOut(Output):
    """One function's points, or one version's."""

    function: str
    version: str
    # As people call it: `orders`, or `orders 7` for one version.
    name: str
    points: list[PointOut]


class FunctionsOut(Output):
    """The busiest functions first, at most 50."""

    start: Annotated[Time, Field(validation_alias="start_ms")]
    end: Annotated[Time, Field(validation_alias="end_ms")]
    step_s: int
    items: list[SeriesOut]


class QueuePointOut(Output):
    """How long calls waited for a free instance in one step."""

    at: Annotated[Time, Field(validation_alias="at_ms")]
    calls: int
    queue_ms: float | None


class QueueOut(Output):
    """Waiting over all functions that are meant."""

    start: Annotated[Time, Field(validation_alias="start_ms")]
    end: Annotated[Time, Field(validation_alias="end_ms")]
    step_s: int
    points: list[QueuePointOut]


class SystemPointOut(Output):
    """Means of the samples of one step; null where nothing could be read."""

    at: Annotated[Time, Field(validation_alias="at_ms")]
    cpu_percent: float | None
    load: float | None
    memory_used_mb: float | None
    memory_total_mb: float | None
    disk_used_mb: float | None
    disk_total_mb: float | None
    # Open connections of callers and of people.
    connections: float | None
    # Calls that wait for a free instance.
    queued: float | None
    instances: float | None
    # Lines of the access log that are not counted yet, and how long calls may still be answered.
    lag_lines: float | None
    lease_s: float | None


class SystemOut(Output):
    """The machine."""

    start: Annotated[Time, Field(validation_alias="start_ms")]
    end: Annotated[Time, Field(validation_alias="end_ms")]
    step_s: int
    points: list[SystemPointOut]


class ApiPointOut(Output):
    """Requests of the API as the gateway saw them."""

    at: Annotated[Time, Field(validation_alias="at_ms")]
    requests_per_s: float | None
    refused_per_s: float | None
    failed_per_s: float | None
    # The gateway's mean over its last 1,024 requests.
    mean_ms: float | None
    # As the API itself measured all requests of the step, from the buckets of its durations.
    p95_ms: float | None


class ApiOut(Output):
    """The API."""

    start: Annotated[Time, Field(validation_alias="start_ms")]
    end: Annotated[Time, Field(validation_alias="end_ms")]
    step_s: int
    points: list[ApiPointOut]


@blueprint.get("/monitor/functions")
@requires(Permission.MONITOR_READ, Place.ANYWHERE)
@blueprint.input(FunctionSeriesQuery, location="query")
@blueprint.output(FunctionsOut)
def function_series(query_data: FunctionSeriesQuery) -> Response:
    """Show calls, faults, durations, cold starts and instances of functions over time."""
    asked = query_data.asked()
    actor = current_actor()
    found = {**_frame(asked.span), "items": _named(actor, services().monitor.functions(actor, asked))}
    # Thousands of points: written at once, not made into dictionaries first.
    body = FunctionsOut.model_validate(found).model_dump_json()
    return Response(body, content_type="application/json")


@blueprint.get("/monitor/queue")
@requires(Permission.MONITOR_READ, Place.ANYWHERE)
@blueprint.input(QueueQuery, location="query")
@blueprint.output(QueueOut)
def queue_series(query_data: QueueQuery) -> dict[str, Any]:
    """Show how long calls waited for a free instance."""
    asked = MonitorAsked(query_data.span(_MINUTE_S), query_data.project, query_data.function)
    return {**_frame(asked.span), "points": services().monitor.queue(current_actor(), asked)}


@blueprint.get("/monitor/system")
@requires(Permission.MONITOR_READ, Place.SYSTEM)
@blueprint.input(SeriesQuery, location="query")
@blueprint.output(SystemOut)
def system_series(query_data: SeriesQuery) -> dict[str, Any]:
    """Show the machine: processor, memory, disk, connections, what waits and the metering lease."""
    span = query_data.span(_SAMPLE_S)
    return {**_frame(span), "points": services().monitor.system(current_actor(), span)}


@blueprint.get("/monitor/api")
@requires(Permission.MONITOR_READ, Place.SYSTEM)
@blueprint.input(SeriesQuery, location="query")
@blueprint.output(ApiOut)
def api_series(query_data: SeriesQuery) -> dict[str, Any]:
    """Show requests of the API: how many, how many were refused or failed, how long they took."""
    span = query_data.span(_SAMPLE_S)
    points = [
        {
            "at_ms": point["at_ms"],
            "requests_per_s": _per_second(point["api_requests"]),
            "refused_per_s": _per_second(point["api_refused"]),
            "failed_per_s": _per_second(point["api_failed"]),
            "mean_ms": point["api_ms"],
            "p95_ms": point["api_p95_ms"],
        }
        for point in services().monitor.api(current_actor(), span)
    ]
    return {**_frame(span), "points": points}


def _named(actor: Actor, found: Sequence[Series]) -> list[dict[str, Any]]:
    """Return the series with their names; what one sees no more keeps its id."""
    known = services()
    functions = known.functions.names(actor, {one.function for one in found})
    versions = known.versions.names(actor, {one.version for one in found if one.function in functions} - {""})
    return [
        {
            "function": one.function,
            "version": one.version,
            "name": versions.get(one.version) or functions.get(one.function, one.function),
            "points": one.points,
        }
        for one in found
    ]


def _frame(span: Span) -> dict[str, Any]:
    return {"start_ms": span.start_ms, "end_ms": span.end_ms, "step_s": span.step_ms // 1_000}


def _per_second(count: float | None) -> float | None:
    """Return a sample's count by second; a sample is of ten seconds."""
    return None if count is None else round(count / _SAMPLE_S, 2)
