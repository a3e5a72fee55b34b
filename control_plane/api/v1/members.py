"""The people of an organization and their roles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, list_position, page_response, slice_response
from control_plane.api.schemas import Input, OptionalTime, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Binding, Permission, Role, Scope
from control_plane.domain.identity import Member, User
from control_plane.domain.list_filters import MemberFilter
from control_plane.errors import NotFound
from control_plane.services.places import At

blueprint = make_blueprint("members")


class MemberQuery(PageQuery):
    """Which members to list."""

    role: Annotated[Role | None, Field(description="Held anywhere in the organization.")] = None
    search: Annotated[str, Field(max_length=100, description="Part of the e-mail address or name.")] = ""
    disabled: Annotated[bool | None, Field(description="Only disabled members, or only the others.")] = None


class PlaceIn(Input):
    """Where a role holds: in a project or department by id or name, else in the whole organization."""

    project: Annotated[str, Field(max_length=80)] = ""
    department: Annotated[str, Field(max_length=80)] = ""


class InvitationIn(PlaceIn):
    """Somebody to invite."""

    email: Annotated[str, Field(min_length=3, max_length=320)]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    role: Role


class AnyPlaceIn(PlaceIn):
    """Where a role holds; the system stands above all organizations."""

    system: bool = False


class RoleIn(AnyPlaceIn):
    """A role to give."""

    role: Role


class BindingOut(Output):
    """A role at a place."""

    role: str
    scope: str
    # The scope in words: `acme/sales/web`, or `system`.
    place: str


class MemberOut(Output):
    """A member with the roles held here, of no use while disabled."""

    id: str
    email: str
    name: str
    verified_by: str
    created_at: Time
    disabled_at: OptionalTime
    bindings: list[BindingOut]


class InvitationOut(Output):
    """A new member; the password works once and is shown this one time."""

    id: str
    email: str
    # Empty when the person has an account already.
    one_time_password: str


@blueprint.get("/members")
@requires(Permission.MEMBER_READ, Place.ORGANIZATION)
@blueprint.input(MemberQuery, location="query")
@blueprint.output(Page[MemberOut])
def list_members(query_data: MemberQuery) -> Response:
    """List the members of the organization that fit."""
    after = str(list_position(query_data) or "")
    wanted = MemberFilter(query_data.role, query_data.search.strip(), query_data.disabled)
    page = services().members.list(current_actor(), wanted=wanted, after=after, limit=query_data.limit)
    return page_response(MemberOut, _shown_all(page.items), query_data, page.next or None)


@blueprint.post("/members")
@requires(Permission.MEMBER_MANAGE, Place.ANYWHERE)
@idempotent
@blueprint.input(InvitationIn)
@blueprint.output(InvitationOut, 201)
def invite_member(json_data: InvitationIn) -> InvitationOut:
    """Invite somebody with a role, here or in one department or project."""
    made = services().members.invite(
        current_actor(),
        email=json_data.email,
        name=json_data.name,
        role=json_data.role,
        at=At(json_data.project, json_data.department),
    )
    return InvitationOut(id=made.user.id, email=made.user.email, one_time_password=made.one_time_password)


@blueprint.get("/members/<user>")
@requires(Permission.MEMBER_READ, Place.ORGANIZATION)
@blueprint.output(MemberOut)
def get_member(user: str) -> dict[str, Any]:
    """Show a member with the roles held here."""
    return _shown(services().members.get(current_actor(), user))


@blueprint.post("/members/<user>/roles")
@requires(Permission.MEMBER_MANAGE, Place.ANYWHERE)
@blueprint.input(RoleIn)
@blueprint.output(MemberOut)
def grant_role(user: str, json_data: RoleIn) -> dict[str, Any]:
    """Give a member one more role; nobody gives what they do not hold."""
    return _shown(services().members.grant(current_actor(), user, role=json_data.role, at=_at(json_data)))


@blueprint.delete("/members/<user>/roles/<role>")
@requires(Permission.MEMBER_MANAGE, Place.ANYWHERE)
@blueprint.input(AnyPlaceIn, location="query")
@blueprint.output({}, 204)
def withdraw_role(user: str, role: str, query_data: AnyPlaceIn) -> Response:
    """Take a role away at a place; the last owner stays."""
    services().members.withdraw(current_actor(), user, role=_role(role), at=_at(query_data))
    return Response(status=204)


@blueprint.post("/members/<user>/disable")
@requires(Permission.MEMBER_MANAGE, Place.ORGANIZATION)
@blueprint.output(MemberOut)
def disable_member(user: str) -> dict[str, Any]:
    """Let a member do nothing here; sessions and tokens end, roles stay."""
    return _shown(services().members.disable(current_actor(), user))


@blueprint.post("/members/<user>/enable")
@requires(Permission.MEMBER_MANAGE, Place.ORGANIZATION)
@blueprint.output(MemberOut)
def enable_member(user: str) -> dict[str, Any]:
    """Let a disabled member do again what their roles say."""
    return _shown(services().members.enable(current_actor(), user))


@blueprint.delete("/members/<user>")
@requires(Permission.MEMBER_MANAGE, Place.ORGANIZATION)
@blueprint.output({}, 204)
def remove_member(user: str) -> Response:
    """End a membership with all its roles, sessions and tokens."""
    services().members.remove(current_actor(), user)
    return Response(status=204)


@blueprint.get("/system/members")
@requires(Permission.MEMBER_READ, Place.SYSTEM)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[MemberOut])
def list_system_members(query_data: PageQuery) -> Response:
    """List who holds a role above all organizations."""
    rows = _shown_all(services().members.system_bindings(current_actor()))
    return slice_response(MemberOut, rows, query_data)


def _at(place: AnyPlaceIn) -> At:
    return At(place.project, place.department, place.system)


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError:
        raise NotFound(f"There is no role “{name[:40]}”.", hint="List the roles.") from None


def bindings_shown(bindings: Iterable[Binding], names: Mapping[Scope, str]) -> list[dict[str, str]]:
    """Return roles with the places where they hold."""
    return [
        {"role": one.role, "scope": str(one.scope), "place": names.get(one.scope, str(one.scope))}
        for one in bindings
    ]


def _shown(member: Member) -> dict[str, Any]:
    return _shown_all((member,))[0]


def _shown_all(members: Sequence[Member]) -> list[dict[str, Any]]:
    scopes = {binding.scope for one in members for binding in one.bindings}
    names = services().access.place_names(current_actor(), scopes)
    return [_row(one, names) for one in members]


def _row(member: Member, names: Mapping[Scope, str]) -> dict[str, Any]:
    person: User = member.user
    return {
        "id": person.id,
        "email": person.email,
        "name": person.name,
        "verified_by": person.verified_by,
        "created_at": person.created_ms,
        "disabled_at": member.disabled_ms,
        "bindings": bindings_shown(member.bindings, names),
    }
