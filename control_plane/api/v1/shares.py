"""One's own shares: which versions others may install."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Input, Number, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.sharing import Audience, Share, ShareKind, ShareWish

blueprint = make_blueprint("shares")


class ShareChangeIn(Input):
    """What a share offers and how it is found."""

    version: Annotated[Number, Field(description="The version's number.")]
    kind: ShareKind = ShareKind.FUNCTION
    summary: Annotated[str, Field(max_length=200, description="Default: the version's description.")] = ""
    tags: Annotated[tuple[str, ...], Field(max_length=10)] = ()
    unreviewed: Annotated[
        bool,
        Field(description="In a project that asks for no approval: nobody approved it, and it is marked so."),
    ] = False


class ShareIn(ShareChangeIn):
    """A version to share, and with whom."""

    audience: Audience = Audience.PROJECT
    project: Annotated[
        str, Field(max_length=80, description="Who sees it when the audience is a project; default: its own.")
    ] = ""


class ShareOut(Output):
    """One of the organization's own shares."""

    id: str
    project: str
    function: str
    name: str
    kind: str
    number: int
    digest: str
    summary: str
    tags: list[str]
    audience: str
    # Id of the project that sees it, when the audience is one.
    audience_project: str | None
    reviewed: bool
    shared_by: str
    created_at: Time
    updated_at: Time


@blueprint.post("/functions/<function>/shares")
@requires(Permission.SHARE_WRITE, Place.FUNCTION)
@idempotent
@blueprint.input(ShareIn)
@blueprint.output(ShareOut, 201)
def share_function(function: str, json_data: ShareIn) -> Response:
    """Share a version with a project, the organization or everyone on this system."""
    made = services().sharing.create(
        current_actor(), function, _wish(json_data), audience=json_data.audience, project=json_data.project
    )
    return _shown(made, 201)


@blueprint.get("/shares")
@requires(Permission.SHARE_READ, Place.ANYWHERE)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[ShareOut])
def list_shares(query_data: PageQuery) -> Response:
    """List the organization's own shares, oldest first."""
    page = services().sharing.list(
        current_actor(), after=list_position(query_data) or "", limit=query_data.limit
    )
    return page_response(ShareOut, [_row(share) for share in page.items], query_data, page.next or None)


@blueprint.get("/shares/<share>")
@requires(Permission.SHARE_READ, Place.SHARE)
@blueprint.output(ShareOut)
def get_share(share: str) -> Response:
    """Show one of the organization's own shares; its ETag is what a change must name."""
    return _shown(services().sharing.get(current_actor(), share))


@blueprint.put("/shares/<share>")
@requires(Permission.SHARE_WRITE, Place.SHARE)
@blueprint.input(ShareChangeIn)
@blueprint.output(ShareOut)
def change_share(share: str, json_data: ShareChangeIn) -> Response:
    """Offer another version, or describe it differently; needs If-Match."""
    if_match = required_if_match()
    return _shown(services().sharing.change(current_actor(), share, _wish(json_data), if_match=if_match))


@blueprint.delete("/shares/<share>")
@requires(Permission.SHARE_WRITE, Place.SHARE)
@blueprint.output({}, 204)
def remove_share(share: str) -> Response:
    """Let nobody install it any more; needs If-Match."""
    services().sharing.remove(current_actor(), share, if_match=required_if_match())
    return Response(status=204)


def _wish(asked: ShareChangeIn) -> ShareWish:
    return ShareWish(asked.version, asked.kind, asked.summary, asked.tags, asked.unreviewed)


def _shown(share: Share, status: int = 200) -> Response:
    shown = ShareOut.model_validate(_row(share)).model_dump(mode="json")
    return with_etag(jsonify(shown), share.etag, status)


def _row(share: Share) -> dict[str, Any]:
    return {
        "id": share.id,
        "project": share.project,
        "function": share.function,
        "name": share.name,
        "kind": share.kind,
        "number": share.number,
        "digest": share.digest,
        "summary": share.summary,
        "tags": list(share.tags),
        "audience": share.audience,
        "audience_project": share.reach if share.audience is Audience.PROJECT else None,
        "reviewed": share.reviewed,
        "shared_by": share.shared_by,
        "created_at": share.created_ms,
        "updated_at": share.updated_ms,
    }
