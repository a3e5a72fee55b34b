"""Usage: what was counted, the single calls behind it, and whether all records agree."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor, Project
from control_plane.errors import Invalid
from control_plane.services.usage import Invocation, Total

blueprint = make_blueprint("usage")

_HOUR_MS = 3_600_000
_Days = Annotated[int, Field(ge=1, le=366)]


class UsageQuery(Input):
    """What to sum."""

    project: Annotated[str | None, Field(max_length=80, description="Id or name; default: all.")] = None
    group_by: Literal["function", "version", "key", "outcome", "day"] = "function"
    days: _Days = 30


class InvocationQuery(PageQuery):
    """Which calls to list."""

    project: Annotated[str | None, Field(max_length=80, description="Id or name.")] = None
    function: Annotated[str | None, Field(max_length=80, description="Id or name.")] = None


class ReconciliationQuery(Input):
    """How far back to compare."""

    hours: Annotated[int, Field(ge=1, le=744)] = 24


class UsageOut(Output):
    """The sums of one group."""

    project: str
    group: str
    # What a reader calls the group: a function's or key's name, or a day.
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


class UsageListOut(Output):
    """Sums over the hours that the span touches."""

    items: list[UsageOut]


class InvocationOut(Output):
    """One call."""

    id: str
    request_id: str
    function: str
    version: str
    api_key: str
    accepted_at: Annotated[Time, Field(validation_alias="accepted_ms")]
    method: str
    status: int
    refusal: str
    outcome: str
    fault: str
    exit_reason: str
    cold: bool
    duration_ms: int
    billed_ms: int
    memory_mb: int
    bytes_in: int
    bytes_out: int
    stream: str


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
@blueprint.output(UsageListOut)
def sum_usage(query_data: UsageQuery) -> dict[str, Any]:
    """Sum what was counted, by function, version, key, outcome or day."""
    actor = current_actor()
    end = _now_ms() + 1
    start = max(0, end - query_data.days * 24 * _HOUR_MS)
    rows = []
    for project in _projects(actor, query_data.project):
        totals = services().usage.totals(project.id, start, end, query_data.group_by)
        labels = _labels(actor, project, query_data.group_by)
        rows += [_row(project, total, query_data.group_by, labels) for total in totals]
    return {"items": rows}


@blueprint.get("/invocations")
@requires(Permission.USAGE_READ, Place.ANYWHERE)
@blueprint.input(InvocationQuery, location="query")
@blueprint.output(Page[InvocationOut])
def list_invocations(query_data: InvocationQuery) -> Response:
    """List the newest calls of a project or function."""
    actor = current_actor()
    function = services().functions.get(actor, query_data.function) if query_data.function else None
    project = _one_project(actor, function.project if function else query_data.project)
    position = list_position(query_data)
    before = (int(position[0]), int(position[1])) if position else None
    rows: list[Invocation]
    rows, following = services().usage.recent(
        project.id, function.id if function else None, before, query_data.limit
    )
    return page_response(InvocationOut, rows, query_data, list(following) if following else None)


# The counts are the whole machine's, so this is for who may make organizations on it.
@blueprint.get("/usage/reconciliation")
@requires(Permission.ORGANIZATION_CREATE, Place.SYSTEM)
@blueprint.input(ReconciliationQuery, location="query")
@blueprint.output(ReconciliationOut)
def reconcile(query_data: ReconciliationQuery) -> ReconciliationOut:
    """Compare the gateway's records, the usage and the host's records."""
    end = _now_ms() + 1
    found = services().usage.reconcile(end - query_data.hours * _HOUR_MS, end)
    return ReconciliationOut.model_validate(found)


def _projects(actor: Actor, wanted: str | None) -> tuple[Project, ...]:
    """Return the projects whose usage the actor may see."""
    known = services()
    named = (known.projects.get(actor, wanted),) if wanted else known.projects.list(actor)
    if wanted:
        known.access.require(actor, Permission.USAGE_READ, named[0].id)
    return tuple(one for one in named if known.access.may(actor, Permission.USAGE_READ, one.scope))


def _one_project(actor: Actor, wanted: str | None) -> Project:
    projects = _projects(actor, wanted)
    if len(projects) != 1:
        raise Invalid(
            f"Calls are listed for one project, and you can see {len(projects)}.",
            field="/project",
            hint="Add project= or function=.",
        )
    return projects[0]


def _labels(actor: Actor, project: Project, group_by: str) -> dict[str, str]:
    known = services()
    if group_by == "key" and known.access.may(actor, Permission.KEY_READ, project.scope):
        return {key.id: key.name for key in known.api_keys.list(actor, project=project.id)}
    labels: dict[str, str] = {}
    if group_by == "function" and known.access.may(actor, Permission.FUNCTION_READ, project.scope):
        after = ""
        while True:
            page = known.functions.list(actor, project=project.id, after=after, limit=100)
            labels |= {function.id: function.name for function in page.items}
            if not (after := page.next):
                break
    return labels


def _row(project: Project, total: Total, group_by: str, labels: dict[str, str]) -> dict[str, Any]:
    label = labels.get(total.group, total.group)
    if group_by == "day":
        label = datetime.fromtimestamp(int(total.group) / 1000, UTC).date().isoformat()
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


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
