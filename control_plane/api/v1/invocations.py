"""Single calls: lists of them, one taken apart, why it went so, and running one again."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from flask import Response, request
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.idempotency import idempotent_long
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Output, Time
from control_plane.api.spans import SpanQuery, unix_ms
from control_plane.api.state import api_options, services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.api.v1.test_runs import TestRunIn, decoded_body
from control_plane.domain.access import Permission
from control_plane.ports import TestCall
from control_plane.services.invocations import Wanted
from control_plane.services.stories import Story

blueprint = make_blueprint("invocations")

_Name = Annotated[str, Field(max_length=80)]


class InvocationQuery(PageQuery, SpanQuery):
    """Which calls to list; times are those of the dispatch to an instance."""

    project: Annotated[str, Field(max_length=80, description="Id or name; needed when you see several.")] = ""
    function: Annotated[str, Field(max_length=80, description="Id or name.")] = ""
    version: Annotated[str, Field(max_length=80, description="Number (with function=) or id.")] = ""
    key: Annotated[str, Field(max_length=80, description="An API key's id.")] = ""
    status: Annotated[str, Field(pattern=r"^([1-5]\d\d|[1-5]xx|)$", description="404, or 4xx.")] = ""
    outcome: Literal[
        "answered", "rejected", "failed", "refused", "saturated", "unavailable", "abandoned", ""
    ] = ""
    fault: Literal["nobody", "caller", "author", "platform", ""] = ""
    mode: Literal["sync", "stream", ""] = ""
    cold: bool | None = None


class InvocationOut(Output):
    """One call."""

    id: str
    request_id: str
    trace_id: str
    function: str
    version: str
    api_key: str
    accepted_at: Annotated[Time, Field(validation_alias="accepted_ms")]
    method: str
    mode: str
    status: int
    refusal: str
    outcome: str
    fault: str
    exit_reason: str
    cold: bool
    queue_ms: int
    cold_ms: int
    duration_ms: int
    billed_ms: int
    memory_mb: int
    bytes_in: int
    bytes_out: int
    stream: str


class ServedPartOut(Output):
    """A stretch of a call's time, counted from when the gateway took the request."""

    name: str
    start_ms: int
    duration_ms: int
    note: str


class ServedApprovalOut(Output):
    """Who approved exactly the digest that ran."""

    review: str
    email: str
    at: Annotated[Time, Field(validation_alias="at_ms")]


class ExplainedOut(Output):
    """Why the function did not answer, and what to do about it."""

    rule: str
    action: str


class StoryOut(Output):
    """One call with all that is known of it."""

    call: InvocationOut
    waterfall: Annotated[list[ServedPartOut], Field(validation_alias="parts")]
    route: str
    # Address below the functions' origin that reaches the same version with a key of one's own.
    pinned_url: str
    version_number: int
    digest: str
    release_number: int
    unreviewed: bool
    key_name: str
    target: str
    instance: str
    level: int
    approvals: list[ServedApprovalOut]
    explained: ExplainedOut | None
    logs: list[dict[str, Any]]
    # Permissions that would show more.
    hidden: list[str]


class WhyOut(Output):
    """Every call that carries the id, oldest first; a caller may send one id with several calls."""

    request_id: str
    calls: list[StoryOut]


class RerunOut(Output):
    """What the same version did with the payload that was sent now."""

    invocation: str
    version_number: int
    digest: str
    # Whether status and kind of end are those of the call.
    same: bool
    status: int
    headers: list[tuple[str, str]]
    body: str
    logs: list[dict[str, Any]]
    duration_ms: float
    import_ms: float
    peak_mb: float
    code: str
    message: str


def _raise_body_limit() -> None:
    if request.endpoint == "invocations.rerun_invocation":
        request.max_content_length = 9_000_000


blueprint.before_request(_raise_body_limit)


@blueprint.get("/invocations")
@requires(Permission.USAGE_READ, Place.ANYWHERE)
@blueprint.input(InvocationQuery, location="query")
@blueprint.output(Page[InvocationOut])
def list_invocations(query_data: InvocationQuery) -> Response:
    """List the newest calls of a project or function that fit."""
    wanted = Wanted(
        project=query_data.project,
        function=query_data.function,
        version=query_data.version,
        api_key=query_data.key,
        outcome=query_data.outcome,
        fault=query_data.fault,
        status=query_data.status,
        mode=query_data.mode,
        cold=query_data.cold,
        start_ms=unix_ms(query_data.start),
        end_ms=unix_ms(query_data.end),
    )
    position = list_position(query_data)
    before = (int(position[0]), int(position[1])) if position else None
    page = services().invocations.list(current_actor(), wanted, before=before, limit=query_data.limit)
    following = list(page.following) if page.following else None
    return page_response(InvocationOut, page.items, query_data, following)


@blueprint.get("/invocations/<invocation>")
@requires(Permission.USAGE_READ, Place.ANYWHERE)
@blueprint.output(StoryOut)
def get_invocation(invocation: str) -> dict[str, Any]:
    """Show one call: where its time went, whose fault it was, what was logged, who approved the code."""
    return _told(services().invocations.get(current_actor(), invocation))


@blueprint.get("/why/<path:request_id>")
@requires(Permission.USAGE_READ, Place.ANYWHERE)
@blueprint.output(WhyOut)
def why(request_id: str) -> dict[str, Any]:
    """Explain the calls with this request id or usage id."""
    stories = services().invocations.why(current_actor(), request_id)
    return {"request_id": request_id, "calls": [_told(story) for story in stories]}


@blueprint.post("/invocations/<invocation>/rerun")
@requires(Permission.FUNCTION_WRITE, Place.ANYWHERE)
@idempotent_long
@blueprint.input(TestRunIn)
@blueprint.output(RerunOut, 201)
def rerun_invocation(invocation: str, json_data: TestRunIn) -> dict[str, Any]:
    """Run the call's version once more with a payload that you send again, and test values."""
    call = TestCall(
        method=json_data.method,
        path=json_data.path,
        headers=json_data.headers,
        body=decoded_body(json_data.body),
        timeout_ms=json_data.timeout_ms,
    )
    done = services().reruns.run(current_actor(), invocation, call)
    outcome = done.outcome
    return {
        "invocation": invocation,
        "version_number": done.number,
        "digest": done.digest,
        "same": done.same,
        "status": outcome.status,
        "headers": list(outcome.headers),
        "body": base64.b64encode(outcome.body).decode(),
        "logs": [dict(record) for record in outcome.logs],
        "duration_ms": outcome.duration_ms,
        "import_ms": outcome.import_ms,
        "peak_mb": outcome.peak_mb,
        "code": outcome.code,
        "message": outcome.message,
    }


def _told(story: Story) -> dict[str, Any]:
    told = {name: getattr(story, name) for name in Story.__dataclass_fields__ if name != "pinned"}
    origin = api_options().functions_url
    told["pinned_url"] = f"{origin}/{story.pinned}" if story.pinned else ""
    told["logs"] = [dict(record) for record in story.logs]
    return told
