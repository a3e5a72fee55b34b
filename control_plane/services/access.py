"""The permission decision for edges that must know it before they call a service, and its reasons."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from control_plane.domain.access import SYSTEM, Permission, Scope
from control_plane.domain.explanation import Explanation, explain
from control_plane.domain.identity import Actor, Department, Member, Organization, Project
from control_plane.errors import Invalid, NotFound
from control_plane.services.changes import Changes, View, absent

__all__ = ["Access", "Explained"]


@dataclass(frozen=True, slots=True)
class Explained:
    """Why a member may do something, or what is missing."""

    member: Member
    explanation: Explanation
    # The member's account or membership is switched off, whatever the bindings say.
    disabled: bool

    @property
    def allowed(self) -> bool:
        """Say whether the member may do it now."""
        return self.explanation.allowed and not self.disabled


class Access:
    """Answers what an actor may do; services decide again inside their transaction."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def one_moment(self) -> AbstractContextManager[None]:
        """Let every read of a request see one moment, whichever service does it."""
        return self._changes.one_moment()

    def may(self, actor: Actor, permission: Permission, scope: Scope) -> bool:
        """Say whether the actor holds the right at this place."""
        return actor.allows(permission, scope)

    def require(self, actor: Actor, permission: Permission, project: str = "") -> None:
        """Refuse, and record it, when the right is missing in the organization or the named project.

        A project that the actor cannot see is NotFound, any other lack is Forbidden.
        """
        with self._changes.read(actor) as view:
            if project:
                view.project(project, permission)
            else:
                view.require_organization(permission)

    def require_department(self, actor: Actor, permission: Permission, department: str) -> None:
        """Refuse, and record it, when the right is missing in the named department."""
        with self._changes.read(actor) as view:
            view.department(department, permission)

    def require_named_organization(self, actor: Actor, permission: Permission, organization: str) -> None:
        """Refuse, and record it, when the right is missing in the named organization."""
        with self._changes.read(actor) as view:
            view.named_organization(organization, permission)

    def require_system(self, actor: Actor, permission: Permission) -> None:
        """Refuse, and record it, when the right is missing in the whole system."""
        with self._changes.read(actor) as view:
            view.require_system(permission)

    def permissions(self, actor: Actor, scope: Scope) -> tuple[Permission, ...]:
        """Return every right that the actor holds at this place, for the console."""
        return tuple(sorted(one for one in Permission if actor.allows(one, scope)))

    def place_names(self, actor: Actor, scopes: Iterable[Scope]) -> dict[Scope, str]:
        """Return how people call these places: `system`, `acme`, `acme/sales/web`.

        For places that the actor may see already, as those of their own roles; what
        is gone keeps its id.
        """
        wanted = set(scopes)
        names: dict[str, str] = {}
        with self._changes.read(actor) as view:
            for part in {part for scope in wanted for part in scope.path}:
                names[part] = _place_name(view, part)
        return {scope: "/".join(names[part] for part in scope.path) or "system" for scope in wanted}

    def emails(self, actor: Actor, users: Collection[str]) -> dict[str, str]:
        """Return the addresses of people whose deeds the actor may see already, such as remarks."""
        if not users:
            return {}
        with self._changes.read(actor) as view:
            found = (view.unit.identity.user(user) for user in users)
            return {one.id: one.email for one in found if one}

    def explain(self, actor: Actor, *, user: str, permission: Permission, scope: str = "") -> Explained:
        """Return why a member may do something at a place, by all of their bindings.

        The member is named by id or e-mail address, the place as in `_scope`.
        """
        with self._changes.read(actor) as view:
            view.require_organization(Permission.MEMBER_READ)
            rows = view.unit.identity
            known = rows.user_by_email(user.strip().lower()) if "@" in user else None
            member = rows.member(actor.organization, known.id if known else user)
            if member is None:
                raise absent("member", user)
            place = _scope(view, scope)
            held = (*member.bindings, *rows.bindings("", member.user.id))
        off = bool(member.disabled_ms) or member.user.disabled
        return Explained(member, explain(held, permission, place), off)


def _place_name(view: View, part: str) -> str:
    known: Organization | Department | Project | None
    if part.startswith("org_"):
        known = view.unit.identity.organization(part)
    elif part.startswith("dep_"):
        known = view.unit.departments.get(view.organization, part)
    else:
        known = view.unit.identity.project(view.organization, part)
    return known.name if known else part


def _scope(view: View, text: str) -> Scope:
    """Return the place that a scope, an id, a name or `acme/sales/web` means; nothing is the organization."""
    if not text:
        return Scope((view.organization,))
    if text in {"/", "system"}:
        return SYSTEM
    last = text.rpartition("/")[2]
    found = _places(view, last)
    fitting = [one for one in found if "/" not in text or text in (str(one), _in_words(view, one))]
    if len(fitting) == 1:
        return fitting[0]
    if not found:
        raise absent("place", last)
    lies = " or ".join(str(one) for one in found)
    if not fitting:
        message = f"“{text[:120]}” is not a place now."
        raise Invalid(message, field="scope", hint=f"{last} lies at {lies}.")
    message = f"“{text[:120]}” is the name of several places."
    raise Invalid(message, field="scope", hint=f"Write {lies}.")


def _places(view: View, name: str) -> list[Scope]:
    """Return the organization, department and project with this id or name, as far as the actor sees them."""
    found = []
    organization = view.unit.identity.organization(view.organization)
    if organization is not None and name in (organization.id, organization.name):
        found.append(Scope((view.organization,)))
    with suppress(NotFound):
        found.append(view.department(name, Permission.DEPARTMENT_READ).scope)
    with suppress(NotFound):
        found.append(view.project(name, Permission.PROJECT_READ).scope)
    return found


def _in_words(view: View, scope: Scope) -> str:
    return "/".join(_place_name(view, part) for part in scope.path)
