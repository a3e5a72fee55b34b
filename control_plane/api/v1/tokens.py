"""Personal tokens: how the CLI and robots sign in."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import BeforeValidator, Field

from control_plane.api.access import own
from control_plane.api.auth import current_actor
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, OptionalTime, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission, Restriction
from control_plane.services.places import At

blueprint = make_blueprint("tokens")


class TokenIn(Input):
    """A token to make."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    days: Annotated[int, Field(ge=1, le=366)] = 90
    # The rights that it carries; without any, all that one holds at the place.
    permissions: Annotated[tuple[Permission, ...], Field(max_length=len(Permission))] = ()
    # Id or name; the token opens nothing outside of it.
    project: Annotated[str, Field(max_length=80)] = ""
    department: Annotated[str, Field(max_length=80)] = ""


class RestrictionOut(Output):
    """The part of its owner's rights that a token carries."""

    permissions: list[str]
    scope: str


def restriction_shown(restriction: Restriction | None) -> dict[str, Any] | None:
    """Return a token's restriction as it is sent."""
    if restriction is None:
        return None
    return {"permissions": list(restriction.permissions), "scope": str(restriction.scope)}


class TokenOut(Output):
    """A token; never its text."""

    id: str
    name: str
    hint: str
    created_at: Annotated[Time, Field(validation_alias="created_ms")]
    expires_at: Annotated[Time, Field(validation_alias="expires_ms")]
    revoked_at: Annotated[OptionalTime, Field(validation_alias="revoked_ms")]
    used_at: Annotated[OptionalTime, Field(validation_alias="used_ms")]
    # Null when it carries all of its owner's rights.
    restriction: Annotated[RestrictionOut | None, BeforeValidator(restriction_shown)]


class TokenMadeOut(Output):
    """A new token with its text, shown this one time."""

    token: TokenOut
    text: str


@blueprint.post("/tokens")
@own("A token carries the caller's own rights and no more.")
@idempotent
@blueprint.input(TokenIn)
@blueprint.output(TokenMadeOut, 201)
def create_token(json_data: TokenIn) -> TokenMadeOut:
    """Make a personal token, with all of one's rights or a part of them."""
    made = services().tokens.create(
        current_actor(),
        name=json_data.name,
        days=json_data.days,
        permissions=json_data.permissions,
        at=At(json_data.project, json_data.department),
    )
    return TokenMadeOut.model_validate(made)


@blueprint.get("/tokens")
@own("It lists the caller's own tokens.")
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[TokenOut])
def list_tokens(query_data: PageQuery) -> Response:
    """List one's own tokens."""
    return slice_response(TokenOut, services().tokens.list(current_actor()), query_data)


@blueprint.delete("/tokens/<token>")
@own("It ends one of the caller's own tokens.")
@blueprint.output({}, 204)
def revoke_token(token: str) -> Response:
    """Revoke one of one's own tokens."""
    services().tokens.revoke(current_actor(), token)
    return Response(status=204)
