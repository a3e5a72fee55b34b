"""First owner, sign-in, sign-out, and who one is."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify, request
from flask import g as request_state
from pydantic import Field

from control_plane.api.access import own, public
from control_plane.api.auth import (
    clear_session_cookie,
    csrf_token,
    current_actor,
    current_csrf_token,
    session_text,
    set_session_cookie,
)
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, Name, OptionalTime, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.api.v1.members import BindingOut, bindings_shown
from control_plane.api.v1.organizations import OrganizationOut
from control_plane.api.v1.tokens import RestrictionOut, restriction_shown
from control_plane.domain.credentials import Credential
from control_plane.domain.identity import Actor, User
from control_plane.services.sessions import Opened

blueprint = make_blueprint("sessions")

_Secret = Annotated[str, Field(min_length=1, max_length=300)]
_Short = Annotated[str, Field(min_length=1, max_length=320)]


class SetupIn(Input):
    """The first owner's account."""

    token: _Secret
    organization: Name
    name: Annotated[str, Field(max_length=100)]
    email: _Short
    password: _Secret


class SessionIn(Input):
    """A sign-in."""

    email: _Short
    password: _Secret
    organization: Annotated[str, Field(max_length=80)] = ""


class PasswordIn(Input):
    """A change of one's own password."""

    current_password: _Secret
    new_password: _Secret


class UserOut(Output):
    """A person."""

    id: str
    email: str
    name: str


class SessionOut(Output):
    """A session; its secret travels in the cookie alone."""

    user: UserOut
    must_change_password: bool
    csrf_token: str


class MeOut(SessionOut):
    """Who sends this request, where, and with which roles."""

    organization: OrganizationOut
    method: str
    bindings: list[BindingOut]
    # What the token carries of these rights; null carries all.
    restriction: RestrictionOut | None


class OpenSessionOut(Output):
    """An open session; never its text."""

    id: str
    organization: str
    # The network address that it was opened from.
    address: str
    created_at: Time
    expires_at: Time
    used_at: OptionalTime
    current: bool


@blueprint.post("/setup")
@public("The one-time token in the body is the credential.")
@blueprint.input(SetupIn)
@blueprint.output(SessionOut, 201)
def set_up(json_data: SetupIn) -> Response:
    """Create the first owner with the one-time token, and sign in."""
    services().accounts.claim(
        json_data.token,
        email=json_data.email,
        name=json_data.name,
        password=json_data.password,
        organization=json_data.organization,
    )
    return _open(json_data.email, json_data.password, json_data.organization)


@blueprint.post("/sessions")
@public("Signing in is how one gets a credential.")
@blueprint.input(SessionIn)
@blueprint.output(SessionOut, 201)
def sign_in(json_data: SessionIn) -> Response:
    """Sign in with e-mail and password; the session is set as a cookie."""
    return _open(json_data.email, json_data.password, json_data.organization)


@blueprint.delete("/sessions/current")
@own("It ends the session that the request came with.")
@blueprint.output({}, 204)
def sign_out() -> Response:
    """Sign out."""
    services().sessions.logout(current_actor())
    return clear_session_cookie(Response(status=204))


@blueprint.get("/sessions")
@own("It lists the caller's own sessions.")
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[OpenSessionOut])
def list_sessions(query_data: PageQuery) -> Response:
    """List one's own open sessions; `current` is the one that asks."""
    actor = current_actor()
    rows = [_open_session(one, actor) for one in services().sessions.list(actor)]
    return slice_response(OpenSessionOut, rows, query_data)


@blueprint.delete("/sessions")
@own("It ends the caller's own sessions.")
@blueprint.output({}, 204)
def revoke_other_sessions() -> Response:
    """End all of one's own sessions but the one that asks."""
    services().sessions.revoke_others(current_actor())
    return Response(status=204)


@blueprint.delete("/sessions/<session>")
@own("It ends one of the caller's own sessions.")
@blueprint.output({}, 204)
def revoke_session(session: str) -> Response:
    """End one of one's own sessions."""
    services().sessions.revoke(current_actor(), session)
    return Response(status=204)


@blueprint.get("/me")
@own("It shows the caller to themselves.")
@blueprint.output(MeOut)
def show_me() -> dict[str, Any]:
    """Show who one is, and what one may do where."""
    return _me(current_actor())


@blueprint.put("/me/password")
@own("It changes the caller's own password, and asks for the present one.")
@blueprint.input(PasswordIn)
@blueprint.output(SessionOut)
def change_password(json_data: PasswordIn) -> Response:
    """Change one's own password; every session ends, and the one that asks goes on as a new one."""
    actor = current_actor()
    text = services().accounts.change_password(
        actor, current=json_data.current_password, new=json_data.new_password
    )
    user = UserOut(id=actor.user, email=actor.email, name=actor.name)
    body = SessionOut(user=user, must_change_password=False, csrf_token=csrf_token(text) if text else "")
    response = jsonify(body.model_dump(mode="json"))
    return set_session_cookie(response, text) if text else response


def _open(email: str, password: str, organization: str) -> Response:
    opened: Opened = services().sessions.login(
        email=email,
        password=password,
        organization=organization,
        request=request_state.request_id,
        address=request.remote_addr or "",
    )
    # A browser that signs in anew leaves no older session behind.
    services().sessions.end_replaced(session_text(), opened)
    body = SessionOut(
        user=_user(opened.user),
        must_change_password=opened.user.must_change_password,
        csrf_token=csrf_token(opened.text),
    )
    response = jsonify(body.model_dump(mode="json"))
    response.status_code = 201
    return set_session_cookie(response, opened.text)


def _open_session(session: Credential, actor: Actor) -> dict[str, Any]:
    return {
        "id": session.id,
        "organization": session.organization,
        "address": session.address,
        "created_at": session.created_ms,
        "expires_at": session.expires_ms,
        "used_at": session.used_ms,
        "current": session.id == actor.credential,
    }


def _user(user: User) -> UserOut:
    return UserOut(id=user.id, email=user.email, name=user.name)


def _me(actor: Actor) -> dict[str, Any]:
    names = services().access.place_names(actor, {one.scope for one in actor.bindings})
    return {
        "user": {"id": actor.user, "email": actor.email, "name": actor.name},
        "must_change_password": actor.must_change_password,
        "csrf_token": current_csrf_token(),
        "organization": services().organizations.get(actor),
        "method": actor.method,
        "bindings": bindings_shown(actor.bindings, names),
        "restriction": restriction_shown(actor.restriction),
    }
