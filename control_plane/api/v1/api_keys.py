"""Callers' API keys; their texts are shown once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from flask import Response, jsonify, request
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Input, OptionalTime, Output, Time, timestamp
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.credentials import ApiKey, KeyKind, KeyMode
from control_plane.domain.list_filters import KeyFilter, KeyState
from control_plane.services.api_keys import KeyChange, KeyLimits, KeyMade, KeyRights

blueprint = make_blueprint("api_keys")

_Functions = Annotated[
    tuple[str, ...], Field(max_length=100, description="Ids or names; none: all of the project.")
]
_Modes = Annotated[tuple[KeyMode, ...], Field(max_length=3, description="How it may call; none: every way.")]
_Networks = Annotated[
    tuple[Annotated[str, Field(max_length=50)], ...],
    Field(max_length=50, description="IPv4 and IPv6 networks or addresses; none: everywhere."),
]
_Rate = Annotated[int, Field(ge=0, le=1_000_000)]
_Concurrency = Annotated[int, Field(ge=0, le=100_000)]
_Days = Annotated[int, Field(ge=0, le=3_660)]


class KeyListQuery(PageQuery):
    """Which keys to list."""

    name: Annotated[str, Field(max_length=100, description="The beginning of the name.")] = ""
    state: KeyState | None = None
    function: Annotated[
        str, Field(max_length=80, description="Id or name: keys that may call it, by name or with all.")
    ] = ""


class ApiKeyIn(Input):
    """A key to make. Limits of 0 mean none."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    kind: KeyKind = KeyKind.LIVE
    functions: _Functions = ()
    modes: _Modes = ()
    networks: _Networks = ()
    rate_10s: _Rate = 0
    concurrency: _Concurrency = 0
    days: _Days = 0


class ApiKeyChangeIn(Input):
    """What shall be different about a key; what is left out stays."""

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    functions: _Functions | None = None
    modes: _Modes | None = None
    networks: _Networks | None = None
    rate_10s: _Rate | None = None
    concurrency: _Concurrency | None = None
    days: _Days | None = None


class RotationIn(Input):
    """How a key shall get a new secret."""

    overlap_s: Annotated[
        int, Field(ge=0, le=2_592_000, description="How long the secret before stays good; 0: not at all.")
    ] = 86_400


class PreviousOut(Output):
    """The secret before the last rotation."""

    hint: str
    valid_until: Annotated[Time, Field(validation_alias="valid_until_ms")]


class ApiKeyOut(Output):
    """A key; never its text. While it is rotated it has a second secret, `previous`."""

    id: str
    project: str
    name: str
    kind: str
    hint: str
    previous: PreviousOut | None
    scopes: list[str]
    modes: list[str]
    networks: list[str]
    rate_10s: int
    concurrency: int
    created_by: str
    created_at: Annotated[Time, Field(validation_alias="created_ms")]
    expires_at: Annotated[OptionalTime, Field(validation_alias="expires_ms")]
    revoked_at: Annotated[OptionalTime, Field(validation_alias="revoked_ms")]
    last_used_at: Annotated[
        OptionalTime, Field(description="When the hour began in which it last called.")
    ] = None


class ApiKeyMadeOut(Output):
    """A key with its new text, shown this one time."""

    key: ApiKeyOut
    text: str


@blueprint.post("/projects/<project>/api-keys")
@requires(Permission.KEY_MANAGE, Place.PROJECT)
@idempotent
@blueprint.input(ApiKeyIn)
@blueprint.output(ApiKeyMadeOut, 201)
def create_key(project: str, json_data: ApiKeyIn) -> Response:
    """Make an API key."""
    made = services().api_keys.create(
        current_actor(),
        project=project,
        name=json_data.name,
        kind=json_data.kind,
        limits=KeyLimits(json_data.rate_10s, json_data.concurrency, json_data.days),
        rights=KeyRights(json_data.functions, json_data.modes, json_data.networks),
    )
    return _made(made, 201)


@blueprint.get("/projects/<project>/api-keys")
@requires(Permission.KEY_READ, Place.PROJECT)
@blueprint.input(KeyListQuery, location="query")
@blueprint.output(Page[ApiKeyOut])
def list_keys(project: str, query_data: KeyListQuery) -> Response:
    """List a project's API keys that fit, newest first, revoked ones too, with their last use."""
    after = str(list_position(query_data) or "")
    wanted = KeyFilter(query_data.name, query_data.state, query_data.function)
    page = services().api_keys.page(
        current_actor(), project=project, wanted=wanted, after=after, limit=query_data.limit
    )
    return page_response(ApiKeyOut, _with_last_use(page.items), query_data, page.next or None)


@blueprint.get("/api-keys/<api_key>")
@requires(Permission.KEY_READ, Place.API_KEY)
@blueprint.output(ApiKeyOut)
def get_key(api_key: str) -> Response:
    """Show an API key, never its text; its ETag is what a change must name."""
    return _shown(services().api_keys.get(current_actor(), api_key))


@blueprint.patch("/api-keys/<api_key>")
@requires(Permission.KEY_MANAGE, Place.API_KEY)
@blueprint.input(ApiKeyChangeIn)
@blueprint.output(ApiKeyOut)
def change_key(api_key: str, json_data: ApiKeyChangeIn) -> Response:
    """Change a key's name, rights, limits or end; needs If-Match. What it loses ends open sessions too."""
    seen = required_if_match()
    wanted = KeyChange(**json_data.model_dump())
    return _shown(services().api_keys.change(current_actor(), api_key, wanted, if_match=seen))


@blueprint.post("/api-keys/<api_key>/rotate")
@requires(Permission.KEY_MANAGE, Place.API_KEY)
@idempotent
@blueprint.input(RotationIn)
@blueprint.output(ApiKeyMadeOut)
def rotate_key(api_key: str, json_data: RotationIn) -> Response:
    """Give a key a new secret; the one before stays good for the overlap. Takes If-Match."""
    seen = required_if_match() if "If-Match" in request.headers else ""
    made = services().api_keys.rotate(current_actor(), api_key, overlap_s=json_data.overlap_s, if_match=seen)
    return _made(made)


@blueprint.delete("/api-keys/<api_key>/previous")
@requires(Permission.KEY_MANAGE, Place.API_KEY)
@blueprint.output(ApiKeyOut)
def end_overlap(api_key: str) -> Response:
    """End the secret before the last rotation now; its open sessions end within seconds."""
    return _shown(services().api_keys.end_overlap(current_actor(), api_key))


@blueprint.delete("/api-keys/<api_key>")
@requires(Permission.KEY_MANAGE, Place.API_KEY)
@blueprint.output({}, 204)
def revoke_key(api_key: str) -> Response:
    """Revoke an API key; its open sessions end within seconds."""
    services().api_keys.revoke(current_actor(), api_key)
    return Response(status=204)


def _with_last_use(keys: Sequence[ApiKey]) -> list[ApiKeyOut]:
    used = services().usage.of(current_actor().organization).last_used([key.id for key in keys])
    return [
        ApiKeyOut.model_validate(key).model_copy(update={"last_used_at": timestamp(used.get(key.id, 0))})
        for key in keys
    ]


def _made(made: KeyMade, status: int = 200) -> Response:
    body: dict[str, Any] = ApiKeyMadeOut.model_validate(made).model_dump(mode="json")
    return with_etag(jsonify(body), made.key.etag, status)


def _shown(key: ApiKey) -> Response:
    body = _with_last_use([key])[0].model_dump(mode="json")
    return with_etag(jsonify(body), key.etag)
