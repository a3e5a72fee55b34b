"""The permission that each route names where it is registered; without one a route answers nobody.

`@requires` names a permission and where it must be held, `@own` marks routes
that touch only the caller's own things, `@public` says why anybody may call.
Services decide again inside their transactions: this is the outer of two walls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from flask import Flask, current_app, g, request

from control_plane.api.auth import current_actor, refuse_foreign_origin
from control_plane.api.state import services
from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor
from control_plane.errors import Forbidden, Unavailable

__all__ = ["Place", "Rule", "install_access", "own", "public", "requires", "rule_of"]

_View = TypeVar("_View", bound=Callable[..., Any])
_MARK: Final = "ingot_access"
_READS: Final = frozenset({"GET", "HEAD"})


class Place(StrEnum):
    """Where a permission must be held; the value is the route's path variable."""

    # The organization in the path, else the one that the caller acts in.
    ORGANIZATION = "organization"
    DEPARTMENT = "department"
    PROJECT = "project"
    FUNCTION = "function"
    REVIEW = "review"
    API_KEY = "api_key"
    FILE = "file"
    SHARE = "share"
    # The body names the project, so the service alone can decide where; here: somewhere at all.
    ANYWHERE = ""
    # Above all organizations.
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route asks of its caller. Without a permission, `reason` says why."""

    permission: Permission | None = None
    place: Place = Place.ANYWHERE
    reason: str = ""
    # Anybody may call it, signed in or not.
    public: bool = False


def requires(permission: Permission, place: Place) -> Callable[[_View], _View]:
    """Let only those call the view who hold the permission at the place that the path names."""
    return _mark(Rule(permission, place))


def own(reason: str) -> Callable[[_View], _View]:
    """Let everybody signed in call the view: it reads and changes only what is theirs."""
    return _mark(Rule(reason=reason))


def public(reason: str) -> Callable[[_View], _View]:
    """Let anybody call the view, and say why that is right."""
    return _mark(Rule(reason=reason, public=True))


def rule_of(app: Flask, endpoint: str) -> Rule | None:
    """Return the rule that the endpoint was registered with."""
    return getattr(app.view_functions[endpoint], _MARK, None)


def install_access(app: Flask) -> None:
    """Check every request against its route's rule before the view runs."""
    app.before_request(_check)
    app.teardown_request(_let_go)


def _mark(rule: Rule) -> Callable[[_View], _View]:
    def decorate(view: _View) -> _View:
        setattr(view, _MARK, rule)
        return view

    return decorate


def _check() -> None:
    if request.endpoint is None:
        return
    refuse_foreign_origin()
    rule = rule_of(current_app, request.endpoint)
    if rule is None:
        raise Forbidden("This route names no permission, so nobody may call it.")
    if rule.public:
        return
    # Who sends it and whether they may: one moment, one transaction. What a read sees belongs to it too.
    g.moment = ExitStack()
    g.moment.enter_context(services().access.one_moment())
    actor = current_actor()
    if rule.permission is not None:
        _require(actor, rule.permission, rule.place, request.view_args or {})
    if request.method not in _READS:
        g.pop("moment").close()


def _let_go(_error: BaseException | None) -> None:
    moment: ExitStack | None = g.pop("moment", None)
    if moment is not None:
        moment.close()
    actor: Actor | None = g.get("actor")
    if actor is not None:
        # Only now: it writes, and a thread that holds one connection must not wait for a second.
        with suppress(Unavailable):
            services().sessions.note_use(actor)


def _require(actor: Actor, permission: Permission, place: Place, path: Mapping[str, Any]) -> None:
    if place is Place.ANYWHERE and not actor.must_change_password and actor.holds_somewhere(permission):
        return
    access = services().access
    if place is Place.SYSTEM:
        access.require_system(actor, permission)
    elif place is Place.DEPARTMENT:
        access.require_department(actor, permission, str(path[place.value]))
    elif place is Place.ORGANIZATION and place.value in path:
        access.require_named_organization(actor, permission, str(path[place.value]))
    else:
        project = ""
        if place not in {Place.ANYWHERE, Place.ORGANIZATION}:
            project = _project_of(actor, place, str(path[place.value]))
        access.require(actor, permission, project)


def _project_of(actor: Actor, place: Place, identifier: str) -> str:
    """Return the project that the thing in the path belongs to; absent and foreign look the same."""
    known = services()
    if place is Place.FUNCTION:
        return str(known.functions.get(actor, identifier).project)
    if place is Place.REVIEW:
        return str(known.reviews.get(actor, identifier).project)
    if place is Place.API_KEY:
        return str(known.api_keys.get(actor, identifier).project)
    if place is Place.FILE:
        return str(known.files.get(actor, identifier).project)
    if place is Place.SHARE:
        return str(known.sharing.get(actor, identifier).project)
    return identifier
