"""Releases: plan, record, follow, tag, guard, go back."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request
from pydantic import BaseModel

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, list_position, page_response, slice_response
from control_plane.api.release_models import (
    GuardIn,
    PlanOut,
    ReleaseIn,
    ReleaseOut,
    RollbackIn,
    StatusOut,
    TagIn,
    TagOut,
)
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.release_plans import ReleasePlan
from control_plane.domain.releases import Release
from control_plane.services.releases import Terms

blueprint = make_blueprint("releases")


@blueprint.post("/functions/<function>/releases/plan")
@requires(Permission.RELEASE_READ, Place.FUNCTION)
@blueprint.input(ReleaseIn)
@blueprint.output(PlanOut)
def plan_release(function: str, json_data: ReleaseIn) -> ReleasePlan:
    """Say what a release would change, and what stands against it; nothing is recorded."""
    known, guard = services().releases, json_data.wanted_guard()
    if json_data.canary:
        return known.plan_split(
            current_actor(),
            function,
            version=json_data.version or 0,
            percent=json_data.percent,
            guard=guard,
        )
    throttle = json_data.wanted_throttle()
    return known.plan(current_actor(), function, json_data.wishes(), throttle=throttle, guard=guard)


@blueprint.post("/functions/<function>/releases")
@requires(Permission.RELEASE_WRITE, Place.FUNCTION)
@idempotent
@blueprint.input(ReleaseIn)
@blueprint.output(ReleaseOut, 202)
def create_release(function: str, json_data: ReleaseIn) -> Response:
    """Record a release; read it again to see it go live. If-Match names the traffic that was seen."""
    known, guard = services().releases, json_data.wanted_guard()
    if json_data.canary:
        made = known.split(
            current_actor(),
            function,
            version=json_data.version or 0,
            percent=json_data.percent,
            guard=guard,
            terms=Terms(json_data.note, json_data.expect, _seen()),
        )
    else:
        made = known.apply(
            current_actor(),
            function,
            json_data.wishes(),
            throttle=json_data.wanted_throttle(),
            guard=guard,
            note=json_data.note,
            expect=json_data.expect,
            if_match=_seen(),
        )
    return _shown(made, 202)


@blueprint.post("/functions/<function>/releases/rollback/plan")
@requires(Permission.RELEASE_READ, Place.FUNCTION)
@blueprint.input(RollbackIn)
@blueprint.output(PlanOut)
def plan_rollback(function: str, json_data: RollbackIn) -> ReleasePlan:
    """Say what going back would change, and which values it would use; nothing is recorded."""
    return services().releases.plan_rollback(
        current_actor(), function, to=json_data.release or 0, newest_values=json_data.newest_values
    )


@blueprint.post("/functions/<function>/releases/rollback")
@requires(Permission.RELEASE_WRITE, Place.FUNCTION)
@idempotent
@blueprint.input(RollbackIn)
@blueprint.output(ReleaseOut, 202)
def roll_back(function: str, json_data: RollbackIn) -> Response:
    """Release again what an earlier release held. If-Match names the traffic that was seen."""
    made = services().releases.rollback(
        current_actor(),
        function,
        to=json_data.release or 0,
        newest_values=json_data.newest_values,
        terms=Terms(json_data.note, if_match=_seen()),
    )
    return _shown(made, 202)


@blueprint.get("/functions/<function>/releases")
@requires(Permission.RELEASE_READ, Place.FUNCTION)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[ReleaseOut])
def list_releases(function: str, query_data: PageQuery) -> Response:
    """List a function's releases, newest first: who released what, why, and what became of it."""
    before = int(list_position(query_data) or 0)
    rows = services().releases.list(current_actor(), function, before=before, limit=query_data.limit + 1)
    shown = rows[: query_data.limit]
    more = shown[-1].number if len(rows) > query_data.limit else None
    return page_response(ReleaseOut, shown, query_data, more)


@blueprint.get("/functions/<function>/releases/status")
@requires(Permission.RELEASE_READ, Place.FUNCTION)
@blueprint.output(StatusOut)
def get_status(function: str) -> Response:
    """Show what is live and what is on its way; the ETag is the traffic's."""
    status = services().releases.status(current_actor(), function)
    return with_etag(jsonify(_plain(StatusOut, status)), status.etag)


@blueprint.get("/functions/<function>/releases/<int:number>")
@requires(Permission.RELEASE_READ, Place.FUNCTION)
@blueprint.output(ReleaseOut)
def get_release(function: str, number: int) -> Response:
    """Show a release with its conditions; a change of its guard must name the ETag."""
    return _shown(services().releases.get(current_actor(), function, number))


@blueprint.put("/functions/<function>/releases/<int:number>/guard")
@requires(Permission.RELEASE_WRITE, Place.FUNCTION)
@blueprint.input(GuardIn)
@blueprint.output(ReleaseOut)
def set_guard(function: str, number: int, json_data: GuardIn) -> Response:
    """Let a guard watch a release that is live or on its way; needs If-Match."""
    seen = required_if_match()
    known = services().releases
    return _shown(known.set_guard(current_actor(), function, number, json_data.guard(), if_match=seen))


@blueprint.delete("/functions/<function>/releases/<int:number>/guard")
@requires(Permission.RELEASE_WRITE, Place.FUNCTION)
@blueprint.output(ReleaseOut)
def remove_guard(function: str, number: int) -> Response:
    """Let no guard watch a release any more; needs If-Match."""
    seen = required_if_match()
    return _shown(services().releases.set_guard(current_actor(), function, number, None, if_match=seen))


@blueprint.get("/functions/<function>/tags")
@requires(Permission.RELEASE_READ, Place.FUNCTION)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[TagOut])
def list_tags(function: str, query_data: PageQuery) -> Response:
    """List the tags of the live release; `live` itself is the whole function."""
    status = services().releases.status(current_actor(), function)
    parts = status.live.parts if status.live else ()
    return slice_response(TagOut, [part for part in parts if part.tag], query_data)


@blueprint.put("/functions/<function>/tags/<tag>")
@requires(Permission.RELEASE_WRITE, Place.FUNCTION)
@blueprint.input(TagIn)
@blueprint.output(ReleaseOut, 202)
def set_tag(function: str, tag: str, json_data: TagIn) -> Response:
    """Let function@tag lead to a version; needs If-Match with the traffic's ETag."""
    terms = Terms(json_data.note, if_match=required_if_match())
    return _shown(services().releases.tag(current_actor(), function, tag, json_data.version, terms), 202)


@blueprint.delete("/functions/<function>/tags/<tag>")
@requires(Permission.RELEASE_WRITE, Place.FUNCTION)
@blueprint.output(ReleaseOut, 202)
def remove_tag(function: str, tag: str) -> Response:
    """Let function@tag lead nowhere; needs If-Match with the traffic's ETag."""
    terms = Terms(if_match=required_if_match())
    return _shown(services().releases.tag(current_actor(), function, tag, None, terms), 202)


def _seen() -> str:
    """Return the traffic's ETag that the caller saw, or nothing when they name none."""
    return required_if_match() if "If-Match" in request.headers else ""


def _plain(model: type[BaseModel], shown: Any) -> dict[str, Any]:
    return model.model_validate(shown).model_dump(mode="json")


def _shown(release: Release, status: int = 200) -> Response:
    return with_etag(jsonify(_plain(ReleaseOut, release)), release.etag, status)
