"""Callers' API keys; their texts are shown once."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, OptionalTime, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.credentials import ApiKey, KeyKind
from control_plane.services.api_keys import KeyLimits

blueprint = make_blueprint("api_keys")


class ApiKeyIn(Input):
    """A key to make. Limits of 0 mean none."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    kind: KeyKind = KeyKind.LIVE
    functions: Annotated[
        tuple[str, ...], Field(max_length=100, description="Ids or names; none: all of the project.")
    ] = ()
    rate_10s: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    concurrency: Annotated[int, Field(ge=0, le=100_000)] = 0
    days: Annotated[int, Field(ge=0, le=3_660)] = 0


class ApiKeyOut(Output):
    """A key; never its text."""

    id: str
    project: str
    name: str
    kind: str
    hint: str
    scopes: list[str]
    rate_10s: int
    concurrency: int
    created_by: str
    created_at: Annotated[Time, Field(validation_alias="created_ms")]
    expires_at: Annotated[OptionalTime, Field(validation_alias="expires_ms")]
    revoked_at: Annotated[OptionalTime, Field(validation_alias="revoked_ms")]


class ApiKeyMadeOut(Output):
    """A new key with its text, shown this one time."""

    key: ApiKeyOut
    text: str


@blueprint.post("/projects/<project>/api-keys")
@requires(Permission.KEY_MANAGE, Place.PROJECT)
@idempotent
@blueprint.input(ApiKeyIn)
@blueprint.output(ApiKeyMadeOut, 201)
def create_key(project: str, json_data: ApiKeyIn) -> ApiKeyMadeOut:
    """Make an API key."""
    made = services().api_keys.create(
        current_actor(),
        project=project,
        name=json_data.name,
        kind=json_data.kind,
        functions=json_data.functions,
        limits=KeyLimits(json_data.rate_10s, json_data.concurrency, json_data.days),
    )
    return ApiKeyMadeOut.model_validate(made)


@blueprint.get("/projects/<project>/api-keys")
@requires(Permission.KEY_READ, Place.PROJECT)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[ApiKeyOut])
def list_keys(project: str, query_data: PageQuery) -> Response:
    """List a project's API keys, revoked ones too."""
    rows = services().api_keys.list(current_actor(), project=project)
    return slice_response(ApiKeyOut, rows, query_data)


@blueprint.get("/api-keys/<api_key>")
@requires(Permission.KEY_READ, Place.API_KEY)
@blueprint.output(ApiKeyOut)
def get_key(api_key: str) -> ApiKey:
    """Show an API key, never its text."""
    return services().api_keys.get(current_actor(), api_key)


@blueprint.delete("/api-keys/<api_key>")
@requires(Permission.KEY_MANAGE, Place.API_KEY)
@blueprint.output({}, 204)
def revoke_key(api_key: str) -> Response:
    """Revoke an API key; its open sessions end within seconds."""
    services().api_keys.revoke(current_actor(), api_key)
    return Response(status=204)
