"""Members: who belongs to an organization, and which roles they hold where.

Their accounts are in `accounts`, how they sign in in `sessions`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from control_plane.domain.access import SYSTEM, Binding, Permission, Role, Scope
from control_plane.domain.credentials import make_text
from control_plane.domain.identity import PLATFORM, Actor, Member, User, check_email
from control_plane.domain.list_filters import MemberFilter
from control_plane.errors import Conflict, Forbidden, Invalid
from control_plane.ports import Passwords
from control_plane.services.accounts import new_user
from control_plane.services.changes import Change, Changes, Page, absent
from control_plane.services.places import HERE, At, find_scope

__all__ = ["Invitation", "Members"]

# Where rows of roles in the whole system stand.
_NOWHERE: Final = ""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A new member and the password that works once."""

    user: User
    # Empty when the user had an account already.
    one_time_password: str


class Members:
    """Use cases about memberships. Nobody gives or takes rights that they do not hold themselves."""

    def __init__(self, changes: Changes, passwords: Passwords) -> None:
        self._changes = changes
        self._passwords = passwords

    def invite(self, actor: Actor, *, email: str, name: str, role: Role, at: At = HERE) -> Invitation:
        """Add a member with a role in the organization, or in one department or project of it.

        The one-time password is shown once; who vouched for the address shows in the audit.
        """
        address = check_email(email)
        if at.system:
            raise Invalid("People are invited into an organization.", field="system", hint="Grant it later.")
        one_time = make_text("once", self._changes.random(304))
        hashed = self._passwords.hash(one_time)
        with self._changes.change(actor, "member.invite") as change:
            scope = _grantable(change, role, at)
            user = change.unit.identity.user_by_email(address)
            shown = ""
            if user is None:
                user = new_user(change, address, name, hashed, f"invitation:{actor.user}")
                shown = one_time
            change.unit.identity.add_binding(actor.organization, user.id, Binding(role, scope))
            change.happened(
                "member.invited",
                user.id,
                {"role": role},
                email=address,
                scope=str(scope),
                vouched_by=actor.user,
            )
        return Invitation(user, shown)

    def list(
        self, actor: Actor, *, wanted: MemberFilter | None = None, after: str = "", limit: int = 50
    ) -> Page[Member]:
        """Return the organization's members that fit with their roles, oldest account first."""
        with self._changes.read(actor) as view:
            view.require_organization(Permission.MEMBER_READ)
            known = view.unit.identity.members(actor.organization, after, limit + 1, wanted or MemberFilter())
        return Page(known[:limit], known[limit - 1].user.id if len(known) > limit else "")

    def get(self, actor: Actor, user: str) -> Member:
        """Return one member, by id or e-mail address, with the roles held here."""
        user = self._id(actor, user)
        with self._changes.read(actor) as view:
            view.require_organization(Permission.MEMBER_READ)
            member = view.unit.identity.member(actor.organization, user)
        if member is None:
            raise absent("member", user)
        return member

    def system_bindings(self, actor: Actor) -> tuple[Member, ...]:
        """Return who holds a role in the whole system."""
        with self._changes.read(actor) as view:
            view.require_system(Permission.MEMBER_READ)
            return view.unit.identity.members(_NOWHERE)

    def grant(self, actor: Actor, user: str, *, role: Role, at: At = HERE) -> Member:
        """Give a member one more role, here or in the whole system."""
        user = self._id(actor, user)
        with self._changes.change(actor, "member.grant", f"user/{user}") as change:
            scope = _grantable(change, role, at)
            member = _member(change, user)
            place = _there(change, scope)
            place.unit.identity.add_binding(_tenant(change, scope), user, Binding(role, scope))
            place.happened("member.changed", user, {"role": role}, scope=str(scope))
            change.wakes = True
            return change.unit.identity.member(actor.organization, user) or member

    def withdraw(self, actor: Actor, user: str, *, role: Role, at: At = HERE) -> Member | None:
        """Take a role away; None when it was the last one here. The last owner stays."""
        user = self._id(actor, user)
        with self._changes.change(actor, "member.withdraw", f"user/{user}") as change:
            scope = _grantable(change, role, at)
            place = _there(change, scope)
            tenant, binding = _tenant(change, scope), Binding(role, scope)
            if binding not in place.unit.identity.bindings(tenant, user):
                if scope != SYSTEM:
                    _member(change, user)
                raise Conflict(
                    f"This member does not hold {role} at {scope}.",
                    field="role",
                    hint="`ingot member get` shows which roles are held where.",
                )
            _keep_an_owner(change, user, (binding,))
            place.unit.identity.remove_binding(tenant, user, binding)
            place.happened("member.changed", user, {"role": role}, scope=str(scope), taken=True)
            change.wakes = True
            left = change.unit.identity.member(actor.organization, user)
            if left is None and scope != SYSTEM:
                # Nothing of this membership comes to life again with a later one.
                change.unit.identity.enable(actor.organization, user)
                _end_credentials(change, user)
            return left

    def disable(self, actor: Actor, user: str) -> Member:
        """Let a member do nothing here any more; roles stay for the day they are enabled again."""
        user = self._id(actor, user)
        with self._changes.change(actor, "member.disable", f"user/{user}") as change:
            member = _manageable(change, user)
            # Who holds the system is not locked out by an organization of it.
            _hold_all(change, change.unit.identity.bindings(_NOWHERE, user))
            if user == actor.user:
                raise Conflict("You cannot disable yourself.", hint="Ask another owner.")
            if not member.disabled_ms:
                _keep_an_owner(change, user, member.bindings)
                change.unit.identity.disable(actor.organization, user, change.now_ms, actor.user)
                _end_credentials(change, user)
                change.happened("member.disabled", user, {})
            return _member(change, user)

    def enable(self, actor: Actor, user: str) -> Member:
        """Let a disabled member do again what their roles say; they sign in anew."""
        user = self._id(actor, user)
        with self._changes.change(actor, "member.enable", f"user/{user}") as change:
            member = _manageable(change, user)
            if member.disabled_ms:
                change.unit.identity.enable(actor.organization, user)
                change.happened("member.enabled", user, {})
            return _member(change, user)

    def remove(self, actor: Actor, user: str) -> None:
        """End a membership: every role, session and token in this organization."""
        user = self._id(actor, user)
        with self._changes.change(actor, "member.remove", f"user/{user}") as change:
            member = _manageable(change, user)
            _keep_an_owner(change, user, member.bindings)
            for binding in member.bindings:
                change.unit.identity.remove_binding(actor.organization, user, binding)
            change.unit.identity.enable(actor.organization, user)
            _end_credentials(change, user)
            change.happened("member.removed", user, {})

    def _id(self, actor: Actor, user: str) -> str:
        """Return the id of who is named by an e-mail address; what is no such name stays as it is.

        Only those with a role here or in the whole system are found: an address
        says nothing about the other tenants that its owner belongs to.
        """
        if "@" not in user:
            return user
        with self._changes.read(actor) as view:
            rows = view.unit.identity
            known = rows.user_by_email(user.strip().lower())
            if known and any(rows.bindings(tenant, known.id) for tenant in (actor.organization, _NOWHERE)):
                return known.id
        return user


def _grantable(change: Change, role: Role, at: At) -> Scope:
    """Return the place when the actor may give, or take, this role there at this moment."""
    change.refresh_rights()
    scope = find_scope(change, at, Permission.MEMBER_MANAGE)
    if role is Role.GUEST and not at.project:
        raise Invalid("A guest is a guest of one project.", field="project", hint="Name the project.")
    if not change.actor.may_grant(role, scope):
        raise Forbidden(
            f"You do not hold all rights of {role} yourself.",
            field="role",
            hint=f"Ask somebody who is {role} there, or an owner.",
        )
    return scope


def _manageable(change: Change, user: str) -> Member:
    """Return a member none of whose rights go beyond the actor's own."""
    change.refresh_rights()
    change.require_organization(Permission.MEMBER_MANAGE)
    member = _member(change, user)
    _hold_all(change, member.bindings)
    return member


def _hold_all(change: Change, bindings: tuple[Binding, ...]) -> None:
    for binding in bindings:
        if not change.actor.may_grant(binding.role, binding.scope):
            raise Forbidden(
                f"You do not hold all rights of {binding.role} yourself.",
                hint=f"This member is {binding.role} of {binding.scope}: ask an owner.",
            )


def _member(change: Change, user: str) -> Member:
    member = change.unit.identity.member(change.organization, user)
    if member is None:
        raise absent("member", user)
    return member


def _tenant(change: Change, scope: Scope) -> str:
    return _NOWHERE if scope == SYSTEM else change.organization


def _there(change: Change, scope: Scope) -> Change:
    """Return the change that records where it belongs: roles in the system stand in the platform's chain."""
    if scope != SYSTEM:
        return change
    return change.acting_as(replace(change.actor, organization=PLATFORM))


def _keep_an_owner(change: Change, user: str, leaving: tuple[Binding, ...]) -> None:
    for binding in leaving:
        tenant = _tenant(change, binding.scope)
        top = SYSTEM if tenant == _NOWHERE else Scope((tenant,))
        if binding != Binding(Role.OWNER, top):
            continue
        holders = change.unit.identity.holders(tenant, Role.OWNER, top)
        if user in holders and len(holders) == 1:
            where = "The system" if top == SYSTEM else "An organization"
            raise Conflict(f"{where} keeps at least one owner.", hint="Make somebody else an owner first.")


def _end_credentials(change: Change, user: str) -> None:
    for credential in change.unit.credentials.of_user(user):
        if credential.organization == change.organization:
            change.unit.credentials.update(credential.revoke(change.now_ms))
