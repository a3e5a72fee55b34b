"""Usage: what was counted, as sums and as exports, and whether all records agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.spans import SpanQuery, now_ms
from control_plane.api.state import services
from control_plane.api.usage_lines import moment, usage_lines
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor, Project
from control_plane.services.usage import Total

blueprint = make_blueprint("usage")

_HOUR_MS = 3_600_000
_LINES: dict[int | str, Any] = {
    200: {"description": "CSV, or JSON lines.", "content": {"text/csv": {}, "application/jsonl": {}}}
}
_Days = Annotated[int, Field(ge=1, le=366)]


class UsageQuery(PageQuery, SpanQuery):
    """What to sum."""

    project: Annotated[str | None, Field(max_length=80, description="Id or name; default: all.")] = None
    function: Annotated[str | None, Field(max_length=80, description="Id or name; default: all.")] = None
    key: Annotated[str | None, Field(max_length=80, description="Id of an API key; default: all.")] = None
    group_by: Literal["function", "version", "key", "outcome", "day", "hour"] = "function"
    days: Annotated[_Days, Field(description="How far back, unless from= says it.")] = 30


class ExportQuery(SpanQuery):
    """What to export."""

    project: Annotated[str | None, Field(max_length=80, description="Id or name; default: all.")] = None
    unit: Literal["day", "hour"] = "day"
    days: Annotated[_Days, Field(description="How far back, unless from= says it.")] = 30
    format: Literal["csv", "jsonl"] = "csv"


class ReconciliationQuery(Input):
    """How far back to compare."""

    hours: Annotated[int, Field(ge=1, le=744)] = 24


class UsageOut(Output):
    """The sums of one group."""

    project: str
    group: str
    # What a reader calls the group: a function's or key's name, a function's name and number, or a day.
    label: str
    calls: int
    billed_calls: int
    cold_calls: int
    failed: int
    refused: int
    billed_ms: int
    memory_mb_ms: int
    bytes_in: int
    bytes_out: int
    outcomes: dict[str, int]
    faults: dict[str, int]


class DifferenceOut(Output):
    """Two counts that should agree and do not."""

    what: str
    subject: str
    counts: dict[str, int]
    reason: str
    explained: bool


class ReconciliationOut(Output):
    """The counts of gateway, usage and host side by side."""

    agrees: bool
    start: Annotated[Time, Field(validation_alias="start_ms")]
    end: Annotated[Time, Field(validation_alias="end_ms")]
    counts: dict[str, int]
    differences: list[DifferenceOut]


@blueprint.get("/usage")
@requires(Permission.USAGE_READ, Place.ANYWHERE)
@blueprint.input(UsageQuery, location="query")
@blueprint.output(Page[UsageOut])
def sum_usage(query_data: UsageQuery) -> Response:
    """Sum what was counted, by function, version, key, outcome, day or hour."""
    actor, after = current_actor(), tuple(list_position(query_data) or ())
    span = query_data.bounds(query_data.days * 24)
    function = services().functions.get(actor, query_data.function) if query_data.function else None
    only = {"function": function.id if function else "", "key": query_data.key or ""}
    projects = _projects(actor, query_data.project or (function.project if function else None))
    rows: list[dict[str, Any]] = []
    for project in sorted(projects, key=lambda one: one.id):
        if after and project.id < after[0]:
            continue
        totals = services().usage.of(actor.organization).totals(project.id, span, query_data.group_by, **only)
        labels = _labels(actor, project, query_data.group_by, [total.group for total in totals])
        rows += [
            _row(project, total, query_data.group_by, labels)
            for total in sorted(totals, key=lambda total: total.group)
            if (project.id, total.group) > after
        ]
        if len(rows) > query_data.limit:
            break
    page = rows[: query_data.limit]
    following = [page[-1]["project"], page[-1]["group"]] if len(rows) > query_data.limit else None
    return page_response(UsageOut, page, query_data, following)


@blueprint.get("/usage/export")
@requires(Permission.USAGE_READ, Place.ANYWHERE)
@blueprint.input(ExportQuery, location="query")
@blueprint.doc(responses=_LINES)
def export_usage(query_data: ExportQuery) -> Response:
    """Download every sum: by day or hour, project, function, version, key and outcome."""
    actor = current_actor()
    projects = _projects(actor, query_data.project)
    labels: dict[str, str] = {}
    for project in projects:
        labels |= _labels(actor, project, "function", ())
    start, end = query_data.bounds(query_data.days * 24)
    unit_ms = _HOUR_MS if query_data.unit == "hour" else 24 * _HOUR_MS
    ids = [project.id for project in projects]
    rows = services().usage.of(actor.organization).export(ids, start, end, unit_ms)
    lines = usage_lines(query_data.format, rows, labels)
    kind = "text/csv; charset=utf-8" if query_data.format == "csv" else "application/jsonl"
    response = Response(lines, content_type=kind)
    response.headers["Content-Disposition"] = f'attachment; filename="usage.{query_data.format}"'
    return response


# The counts are the whole machine's.
@blueprint.get("/usage/reconciliation")
@requires(Permission.MONITOR_READ, Place.SYSTEM)
@blueprint.input(ReconciliationQuery, location="query")
@blueprint.output(ReconciliationOut)
def reconcile(query_data: ReconciliationQuery) -> ReconciliationOut:
    """Compare the gateway's records, the usage and the host's records."""
    end = now_ms() + 1
    found = services().usage.reconcile(end - query_data.hours * _HOUR_MS, end)
    return ReconciliationOut.model_validate(found)


def _projects(actor: Actor, wanted: str | None) -> tuple[Project, ...]:
    """Return the projects whose usage the actor may see."""
    known = services()
    named = (known.projects.get(actor, wanted),) if wanted else known.projects.list(actor)
    if wanted:
        known.access.require(actor, Permission.USAGE_READ, named[0].id)
    return tuple(one for one in named if known.access.may(actor, Permission.USAGE_READ, one.scope))


def _labels(actor: Actor, project: Project, group_by: str, groups: Sequence[str]) -> dict[str, str]:
    known = services()
    if group_by == "version" and known.access.may(actor, Permission.FUNCTION_READ, project.scope):
        return known.versions.names(actor, groups)
    if group_by == "key" and known.access.may(actor, Permission.KEY_READ, project.scope):
        return {key.id: key.name for key in known.api_keys.list(actor, project=project.id)}
    if group_by == "function" and known.access.may(actor, Permission.FUNCTION_READ, project.scope):
        return known.functions.names_in(actor, project.id)
    return {}


def _row(project: Project, total: Total, group_by: str, labels: dict[str, str]) -> dict[str, Any]:
    label = labels.get(total.group, total.group)
    if group_by in {"day", "hour"}:
        label = moment(int(total.group), group_by)
    return {
        "project": project.id,
        "group": total.group,
        "label": label,
        "calls": total.calls,
        "billed_calls": total.billed_calls,
        "cold_calls": total.cold_calls,
        "failed": total.outcomes.get("failed", 0) + total.outcomes.get("unavailable", 0),
        "refused": total.outcomes.get("refused", 0),
        "billed_ms": total.billed_ms,
        "memory_mb_ms": total.memory_mb_ms,
        "bytes_in": total.bytes_in,
        "bytes_out": total.bytes_out,
        "outcomes": total.outcomes,
        "faults": total.faults,
    }
