"""Previews: an address and a short-lived key for a draft or a version that nobody has reviewed."""

from __future__ import annotations

from dataclasses import asdict
from time import monotonic
from typing import Annotated, Any

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.idempotency import idempotent_long
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, Number, Output, Time
from control_plane.api.state import api_options, services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor
from control_plane.domain.previews import Preview
from control_plane.services.previewing import preview_path

blueprint = make_blueprint("previews")

# How long a reload waits for the code to load before it answers that it does not yet.
_LOADING_MS = 10_000


class PreviewIn(Input):
    """What to preview."""

    version: Annotated[Number | None, Field(description="A version; default: the draft.")] = None


class PreviewOut(Output):
    """A preview. Nobody has reviewed what runs there, and it never becomes live."""

    id: str
    function: str
    # "draft" or "version"
    kind: str
    version: int | None
    revision: int | None
    digest: str
    path: str
    url: str
    user: str
    reviewed: bool
    created_at: Time
    updated_at: Time
    expires_at: Time


class PreviewMadeOut(PreviewOut):
    """A new preview with its key, which is shown once."""

    key: str


class LoadedOut(Output):
    """Whether the code loads."""

    ok: bool
    # How long loading took, and with it the wait until the wanted state was there.
    ms: float
    waited_ms: float
    code: str
    message: str
    log: list[str]


class PreviewReloadedOut(PreviewOut):
    """A preview that runs other code now, unless that does not load."""

    loaded: LoadedOut


@blueprint.post("/functions/<function>/previews")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@idempotent_long
@blueprint.input(PreviewIn)
@blueprint.output(PreviewMadeOut, 201)
def start_preview(function: str, json_data: PreviewIn) -> dict[str, Any]:
    """Give the draft, or a version, an address and a key; one's own that runs already gets a new key."""
    actor = current_actor()
    made = services().previews.start(actor, function, version=json_data.version or "")
    return {**_shown(actor, made.preview), "key": made.text}


@blueprint.get("/functions/<function>/previews")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[PreviewOut])
def list_previews(function: str, query_data: PageQuery) -> Response:
    """List what is previewed of a function, by anybody."""
    actor = current_actor()
    rows = [_shown(actor, preview) for preview in services().previews.list(actor, function)]
    return slice_response(PreviewOut, rows, query_data)


@blueprint.get("/functions/<function>/previews/<preview>")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.output(PreviewOut)
def get_preview(function: str, preview: str) -> dict[str, Any]:
    """Show one preview."""
    actor = current_actor()
    return _shown(actor, services().previews.get(actor, function, preview))


@blueprint.post("/functions/<function>/previews/<preview>/reload")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.output(PreviewReloadedOut)
def reload_preview(function: str, preview: str) -> dict[str, Any]:
    """Run what the draft is now, and say whether it loads."""
    actor, previews = current_actor(), services().previews
    after = previews.reload(actor, function, preview)
    began = monotonic()
    loaded = previews.wait(after, _LOADING_MS)
    waited_ms = round((monotonic() - began) * 1000, 1)
    return {**_shown(actor, after), "loaded": {**asdict(loaded), "waited_ms": waited_ms}}


@blueprint.post("/functions/<function>/previews/<preview>/renew")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.output(PreviewOut)
def renew_preview(function: str, preview: str) -> dict[str, Any]:
    """Say that somebody still works with it, so that it does not end."""
    actor = current_actor()
    return _shown(actor, services().previews.renew(actor, function, preview))


@blueprint.delete("/functions/<function>/previews/<preview>")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.output({}, 204)
def end_preview(function: str, preview: str) -> Response:
    """End a preview; its address and key are gone."""
    services().previews.end(current_actor(), function, preview)
    return Response(status=204)


def _shown(actor: Actor, preview: Preview) -> dict[str, Any]:
    known = services()
    function = known.functions.get(actor, preview.function)
    path = preview_path(known.organizations.get(actor).name, function.name, preview)
    return {
        "id": preview.id,
        "function": preview.function,
        "kind": "version" if preview.number else "draft",
        "version": preview.number or None,
        "revision": preview.revision or None,
        "digest": preview.digest,
        "path": f"/{path}",
        "url": f"{api_options().functions_url}/{path}",
        "user": preview.user,
        "reviewed": False,
        "created_at": preview.created_ms,
        "updated_at": preview.updated_ms,
        "expires_at": preview.expires_ms,
    }
