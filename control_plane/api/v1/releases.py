"""Releases: plan, record, follow, go back."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from pydantic import Field, model_validator

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, OptionalTime, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.releases import Release, ReleasePlan, Throttle
from control_plane.services.releases import Wish

blueprint = make_blueprint("releases")


class PartIn(Input):
    """One version's part of the traffic."""

    version: Annotated[int, Field(ge=1)]
    percent: Annotated[int, Field(ge=0, le=100)]
    tag: Annotated[str, Field(max_length=40)] = ""


class ThrottleIn(Input):
    """Limits of the release; 0 means none, or as declared."""

    instances: Annotated[int, Field(ge=0, le=1_000)] = 0
    rate_10s: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    concurrency: Annotated[int, Field(ge=0, le=100_000)] = 0


class ReleaseIn(Input):
    """How the traffic shall go: one version with a percentage, or every part by itself."""

    version: Annotated[int | None, Field(ge=1)] = None
    percent: Annotated[
        int, Field(ge=1, le=100, description="Below 100 a canary: the rest stays where it is.")
    ] = 100
    parts: Annotated[list[PartIn] | None, Field(min_length=1, max_length=10)] = None
    throttle: ThrottleIn | None = None
    note: Annotated[str, Field(max_length=1_000)] = ""
    expect: Annotated[str, Field(max_length=80, description="Digest of the plan that was shown.")] = ""

    @model_validator(mode="after")
    def _one_way(self) -> ReleaseIn:
        if (self.version is None) == (self.parts is None):
            raise ValueError("give either version or parts")
        if self.percent < 100 and (self.parts is not None or self.throttle is not None or self.expect):
            raise ValueError("a canary takes version and percent alone; for more, give parts")
        return self


class RollbackIn(Input):
    """Where to go back to."""

    release: Annotated[int | None, Field(ge=1, description="Default: the one before the live one.")] = None
    newest_values: bool = False


class PartOut(Output):
    """One version's part of the traffic."""

    version: str
    number: int
    digest: str
    percent: int
    tag: str
    base: str


class ThrottleOut(Output):
    """Limits of the release."""

    instances: int
    rate_10s: int
    concurrency: int


class ConditionOut(Output):
    """One statement about the release."""

    type: str
    status: bool
    reason: str
    message: str
    at: Annotated[Time, Field(validation_alias="at_ms")]


class ReleaseOut(Output):
    """A release with how it went."""

    id: str
    function: str
    number: int
    digest: str
    state: str
    parts: list[PartOut]
    throttle: ThrottleOut
    conditions: list[ConditionOut]
    unreviewed: bool
    rollback_of: int
    note: str
    created_by: str
    created_at: Annotated[Time, Field(validation_alias="created_ms")]
    live_at: Annotated[OptionalTime, Field(validation_alias="live_ms")]
    ended_at: Annotated[OptionalTime, Field(validation_alias="ended_ms")]


class PlanOut(Output):
    """What a release would do, and why it would be refused."""

    digest: str
    parts: list[PartOut]
    throttle: ThrottleOut
    unreviewed: bool
    steps: list[str]
    refusals: list[tuple[str, str]]


class StatusOut(Output):
    """Where a function's traffic stands."""

    live: ReleaseOut | None
    pending: ReleaseOut | None
    newest: ReleaseOut | None


@blueprint.post("/functions/<function>/releases/plan")
@requires(Permission.RELEASE_READ, Place.FUNCTION)
@blueprint.input(ReleaseIn)
@blueprint.output(PlanOut)
def plan_release(function: str, json_data: ReleaseIn) -> ReleasePlan:
    """Say what a release would do; nothing is recorded."""
    known = services().releases
    if json_data.version is not None and json_data.percent < 100:
        return known.plan_split(
            current_actor(), function, version=json_data.version, percent=json_data.percent
        )
    return known.plan(current_actor(), function, _wishes(json_data), throttle=_throttle(json_data))


@blueprint.post("/functions/<function>/releases")
@requires(Permission.RELEASE_WRITE, Place.FUNCTION)
@idempotent
@blueprint.input(ReleaseIn)
@blueprint.output(ReleaseOut, 202)
def create_release(function: str, json_data: ReleaseIn) -> Release:
    """Record a release; read it again to see it go live."""
    known = services().releases
    if json_data.version is not None and json_data.percent < 100:
        return known.split(current_actor(), function, version=json_data.version, percent=json_data.percent)
    return known.apply(
        current_actor(),
        function,
        _wishes(json_data),
        throttle=_throttle(json_data),
        note=json_data.note,
        expect=json_data.expect,
    )


@blueprint.post("/functions/<function>/releases/rollback")
@requires(Permission.RELEASE_WRITE, Place.FUNCTION)
@idempotent
@blueprint.input(RollbackIn)
@blueprint.output(ReleaseOut, 202)
def roll_back(function: str, json_data: RollbackIn) -> Release:
    """Release again what an earlier release held."""
    return services().releases.rollback(
        current_actor(), function, to=json_data.release or 0, newest_values=json_data.newest_values
    )


@blueprint.get("/functions/<function>/releases")
@requires(Permission.RELEASE_READ, Place.FUNCTION)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[ReleaseOut])
def list_releases(function: str, query_data: PageQuery) -> Response:
    """List a function's releases, newest first, at most 1,000."""
    rows = services().releases.list(current_actor(), function, limit=1_000)
    return slice_response(ReleaseOut, rows, query_data)


@blueprint.get("/functions/<function>/releases/status")
@requires(Permission.RELEASE_READ, Place.FUNCTION)
@blueprint.output(StatusOut)
def get_status(function: str) -> StatusOut:
    """Show what is live and what is on its way."""
    return StatusOut.model_validate(services().releases.status(current_actor(), function))


@blueprint.get("/functions/<function>/releases/<int:number>")
@requires(Permission.RELEASE_READ, Place.FUNCTION)
@blueprint.output(ReleaseOut)
def get_release(function: str, number: int) -> Release:
    """Show a release with its conditions."""
    return services().releases.get(current_actor(), function, number)


def _wishes(wanted: ReleaseIn) -> list[Wish]:
    if wanted.parts is not None:
        return [Wish(part.version, part.percent, part.tag) for part in wanted.parts]
    return [Wish(wanted.version or 0, wanted.percent)]


def _throttle(wanted: ReleaseIn) -> Throttle | None:
    return Throttle(**wanted.throttle.model_dump()) if wanted.throttle else None
