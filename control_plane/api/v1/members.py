"""The people of an organization and their roles."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission, Role
from control_plane.domain.identity import Member, User

blueprint = make_blueprint("members")


class InvitationIn(Input):
    """Somebody to invite."""

    email: Annotated[str, Field(min_length=3, max_length=320)]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    role: Role
    # Id or name; without it the role holds in the whole organization.
    project: Annotated[str, Field(max_length=80)] = ""


class RoleIn(Input):
    """A role to give or take."""

    role: Role
    project: Annotated[str, Field(max_length=80)] = ""


class BindingOut(Output):
    """A role at a place."""

    role: str
    scope: str


class MemberOut(Output):
    """A member with the roles held here."""

    id: str
    email: str
    name: str
    verified_by: str
    created_at: Time
    bindings: list[BindingOut]


class InvitationOut(Output):
    """A new member; the password works once and is shown this one time."""

    id: str
    email: str
    # Empty when the person has an account already.
    one_time_password: str


@blueprint.get("/members")
@requires(Permission.MEMBER_READ, Place.ORGANIZATION)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[MemberOut])
def list_members(query_data: PageQuery) -> Response:
    """List the members of the organization."""
    rows = [_shown(member) for member in services().accounts.members(current_actor())]
    return slice_response(MemberOut, rows, query_data)


@blueprint.post("/members")
@requires(Permission.MEMBER_MANAGE, Place.ANYWHERE)
@idempotent
@blueprint.input(InvitationIn)
@blueprint.output(InvitationOut, 201)
def invite_member(json_data: InvitationIn) -> InvitationOut:
    """Invite somebody with a role, here or in one project."""
    made = services().accounts.invite(
        current_actor(),
        email=json_data.email,
        name=json_data.name,
        role=json_data.role,
        project=json_data.project,
    )
    return InvitationOut(id=made.user.id, email=made.user.email, one_time_password=made.one_time_password)


@blueprint.post("/members/<user>/roles")
@requires(Permission.MEMBER_MANAGE, Place.ANYWHERE)
@blueprint.input(RoleIn)
@blueprint.output(MemberOut)
def grant_role(user: str, json_data: RoleIn) -> dict[str, Any]:
    """Give a member one more role."""
    member = services().accounts.grant(current_actor(), user, role=json_data.role, project=json_data.project)
    return _shown(member)


@blueprint.delete("/members/<user>")
@requires(Permission.MEMBER_MANAGE, Place.ORGANIZATION)
@blueprint.output({}, 204)
def remove_member(user: str) -> Response:
    """End a membership with all its roles, sessions and tokens."""
    services().accounts.remove(current_actor(), user)
    return Response(status=204)


def _shown(member: Member) -> dict[str, Any]:
    person: User = member.user
    return {
        "id": person.id,
        "email": person.email,
        "name": person.name,
        "verified_by": person.verified_by,
        "created_at": person.created_ms,
        "bindings": [{"role": one.role, "scope": str(one.scope)} for one in member.bindings],
    }
