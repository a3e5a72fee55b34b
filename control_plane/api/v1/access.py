"""Roles and their permissions, and why somebody may do something."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, own, requires
from control_plane.api.auth import current_actor
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, Output
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import ROLES, Permission
from control_plane.services.access import Explained

blueprint = make_blueprint("access")


class RoleOut(Output):
    """A named set of permissions."""

    name: str
    permissions: list[str]


class ExplainQuery(Input):
    """Who, what and where."""

    user: Annotated[str, Field(min_length=1, max_length=320, description="Id or e-mail address.")]
    permission: Permission
    scope: Annotated[
        str,
        Field(
            max_length=300,
            description="A scope, or the id or name of a project or department, or a place in words as "
            "acme/sales/web; `/` and `system` are the system, nothing is the organization.",
        ),
    ] = ""


class ReasonOut(Output):
    """A binding: whether its role has the permission, and whether it reaches the place."""

    role: str
    scope: str
    place: str
    carries: bool
    reaches: bool
    allows: bool


class ExplanationOut(Output):
    """Why somebody may do something somewhere, or which roles are missing there."""

    user: str
    email: str
    permission: str
    scope: str
    # The scope in words.
    place: str
    allowed: bool
    disabled: bool
    bindings: list[ReasonOut]
    missing_roles: list[str]


@blueprint.get("/roles")
@own("The table of roles is the same for everybody.")
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[RoleOut])
def list_roles(query_data: PageQuery) -> Response:
    """List the roles and what each may do."""
    rows = [{"name": role, "permissions": sorted(ROLES[role])} for role in ROLES]
    return slice_response(RoleOut, rows, query_data)


@blueprint.get("/access/explain")
@requires(Permission.MEMBER_READ, Place.ORGANIZATION)
@blueprint.input(ExplainQuery, location="query")
@blueprint.output(ExplanationOut)
def explain_access(query_data: ExplainQuery) -> dict[str, Any]:
    """Say why a member may do something somewhere, or what is missing."""
    explained = services().access.explain(
        current_actor(), user=query_data.user, permission=query_data.permission, scope=query_data.scope
    )
    return _shown(explained)


def _shown(explained: Explained) -> dict[str, Any]:
    answer, user = explained.explanation, explained.member.user
    scopes = {answer.scope, *(reason.binding.scope for reason in answer.reasons)}
    names = services().access.place_names(current_actor(), scopes)
    return {
        "user": user.id,
        "email": user.email,
        "permission": answer.permission,
        "scope": str(answer.scope),
        "place": names[answer.scope],
        "allowed": explained.allowed,
        "disabled": explained.disabled,
        "bindings": [
            {
                "role": reason.binding.role,
                "scope": str(reason.binding.scope),
                "place": names[reason.binding.scope],
                "carries": reason.carries,
                "reaches": reason.reaches,
                "allows": reason.allows,
            }
            for reason in answer.reasons
        ],
        "missing_roles": list(answer.lacking),
    }
