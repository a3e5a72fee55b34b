"""Test runs: one request to a draft in the sandbox that its versions run in."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final

from flask import Response, jsonify, request, url_for
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.test_runs import TestRun
from control_plane.errors import Invalid
from control_plane.ports import TestCall

blueprint = make_blueprint("test_runs")

# As HTTP allows them: nothing that could end a header and begin another one.
_HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$")]
_HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]{0,8000}$")]
_Base64 = Annotated[str, Field(max_length=8_000_000, description="Base64.")]


class TestRunIn(Input):
    """The request that the draft shall answer."""

    __test__ = False

    method: Annotated[str, Field(pattern=r"^[A-Z]{1,20}$")] = "POST"
    path: Annotated[str, Field(pattern=r"^/[\x21-\x7e]*$", max_length=4_000)] = "/"
    headers: Annotated[tuple[tuple[_HeaderName, _HeaderValue], ...], Field(max_length=100)] = ()
    body: _Base64 = ""
    timeout_ms: Annotated[int, Field(ge=1, le=120_000)] = 30_000


class TestRunOut(Output):
    """What the draft did."""

    __test__ = False

    id: str
    function: str
    revision: int
    digest: str
    created_by: str
    created_at: Time
    state: str
    status: int
    headers: list[tuple[str, str]]
    body: str
    logs: list[dict[str, Any]]
    duration_ms: float
    import_ms: float
    import_profile: list[tuple[str, int, int]]
    peak_mb: float
    code: str
    message: str


def _raise_body_limit() -> None:
    # A body that is tried out may be larger than what other JSON needs.
    if request.endpoint == "test_runs.run_draft":
        request.max_content_length = 9_000_000


blueprint.before_request(_raise_body_limit)


# Beside the finished run: the same, still running.
_STARTED: Final[dict[int, Any]] = {
    202: {
        "description": "It runs; with `Prefer: respond-async`.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TestRunOut"}}},
    }
}


@blueprint.post("/functions/<function>/draft/test-runs")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@idempotent
@blueprint.input(TestRunIn)
@blueprint.doc(responses=_STARTED)
@blueprint.output(TestRunOut, 201)
def run_draft(function: str, json_data: TestRunIn) -> Response:
    """Run the draft once and wait for what it does, or with `Prefer: respond-async` do not wait."""
    call = TestCall(
        method=json_data.method,
        path=json_data.path,
        headers=json_data.headers,
        body=decoded_body(json_data.body),
        timeout_ms=json_data.timeout_ms,
    )
    actor, runs = current_actor(), services().test_runs
    waits = not any(wish.strip() == "respond-async" for wish in request.headers.get("Prefer", "").split(","))
    run = runs.run(actor, function, call) if waits else runs.start(actor, function, call)
    response = jsonify(TestRunOut.model_validate(_shown(run)).model_dump(mode="json"))
    response.status_code = 201 if waits else 202
    response.headers["Location"] = url_for("test_runs.get_test_run", function=run.function, run=run.id)
    if not waits:
        response.headers["Preference-Applied"] = "respond-async"
    return response


@blueprint.get("/functions/<function>/draft/test-runs")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[TestRunOut])
def list_test_runs(function: str, query_data: PageQuery) -> Response:
    """List the test runs, newest first."""
    after = str(list_position(query_data) or "")
    page = services().test_runs.list(current_actor(), function, after=after, limit=query_data.limit)
    return page_response(TestRunOut, [_shown(run) for run in page.items], query_data, page.next or None)


@blueprint.get("/functions/<function>/draft/test-runs/<run>")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.output(TestRunOut)
def get_test_run(function: str, run: str) -> dict[str, Any]:
    """Show one test run."""
    return _shown(services().test_runs.get(current_actor(), function, run))


@blueprint.post("/functions/<function>/draft/test-runs/<run>/cancel")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.output(TestRunOut)
def cancel_test_run(function: str, run: str) -> dict[str, Any]:
    """End a test run that nobody needs any more."""
    return _shown(services().test_runs.cancel(current_actor(), function, run))


def decoded_body(body: str) -> bytes:
    """Return the bytes that base64 text stands for. Raises Invalid."""
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:
        raise Invalid(f"The body is not base64: {error}.", field="/body") from error


def _shown(run: TestRun) -> dict[str, Any]:
    """Return the run in the units of the wire; rows hold whole numbers."""
    return {
        "id": run.id,
        "function": run.function,
        "revision": run.revision,
        "digest": run.digest,
        "created_by": run.created_by,
        "created_at": run.created_ms,
        "state": run.state,
        "status": run.status,
        "headers": list(run.headers),
        "body": run.body,
        "logs": [dict(record) for record in run.logs],
        "duration_ms": run.duration_us / 1_000,
        "import_ms": run.import_us / 1_000,
        "import_profile": list(run.import_profile),
        "peak_mb": run.peak_kb / 1_024,
        "code": run.code,
        "message": run.message,
    }
