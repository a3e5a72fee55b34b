"""Test runs: one request to a draft in the sandbox that its versions run in."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from flask import Response, request
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.functions import TestRun
from control_plane.errors import Invalid
from control_plane.ports import TestCall

blueprint = make_blueprint("test_runs")

_Base64 = Annotated[str, Field(max_length=8_000_000, description="Base64.")]


class TestRunIn(Input):
    """The request that the draft shall answer."""

    __test__ = False

    method: Annotated[str, Field(pattern=r"^[A-Z]{1,20}$")] = "POST"
    path: Annotated[str, Field(pattern=r"^/[\x21-\x7e]*$", max_length=4_000)] = "/"
    headers: Annotated[tuple[tuple[str, str], ...], Field(max_length=100)] = ()
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


@blueprint.post("/functions/<function>/draft/test-runs")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.input(TestRunIn)
@blueprint.output(TestRunOut, 201)
def run_draft(function: str, json_data: TestRunIn) -> dict[str, Any]:
    """Run the draft once and wait for what it does."""
    call = TestCall(
        method=json_data.method,
        path=json_data.path,
        headers=json_data.headers,
        body=_decoded(json_data.body),
        timeout_ms=json_data.timeout_ms,
    )
    return _shown(services().test_runs.run(current_actor(), function, call))


@blueprint.get("/functions/<function>/draft/test-runs")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[TestRunOut])
def list_test_runs(function: str, query_data: PageQuery) -> Response:
    """List the newest test runs, at most 100."""
    runs = services().test_runs.list(current_actor(), function, limit=100)
    return slice_response(TestRunOut, [_shown(run) for run in runs], query_data)


@blueprint.get("/functions/<function>/draft/test-runs/<run>")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.output(TestRunOut)
def get_test_run(function: str, run: str) -> dict[str, Any]:
    """Show one test run."""
    return _shown(services().test_runs.get(current_actor(), function, run))


def _decoded(body: str) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
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
