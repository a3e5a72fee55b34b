"""People: the first owner's claim, invitations, passwords and roles.

Signing in is in `sessions`, personal tokens in `tokens`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from control_plane.domain.access import Binding, Permission, Role, Scope, roles_within
from control_plane.domain.credentials import (
    Credential,
    CredentialKind,
    make_text,
    parse_text,
    sha256_hex,
)
from control_plane.domain.identity import (
    PLATFORM,
    Actor,
    Member,
    Organization,
    Project,
    ReviewPolicy,
    User,
    check_email,
    check_password,
)
from control_plane.domain.ids import check_name
from control_plane.errors import Conflict, Forbidden, Invalid, Unauthenticated
from control_plane.ports import Passwords
from control_plane.services.changes import Change, Changes, absent

__all__ = ["Accounts", "Claimed", "Invitation"]

_CLAIM_MS: Final = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of the first owner's claim."""

    user: User
    organization: Organization
    project: Project


@dataclass(frozen=True, slots=True)
class Invitation:
    """A new member and the password that works once."""

    user: User
    # Empty when the user had an account already.
    one_time_password: str


class Accounts:
    """Use cases about users and what they may do."""

    def __init__(self, changes: Changes, passwords: Passwords) -> None:
        self._changes = changes
        self._passwords = passwords

    def open_claim(self) -> str:
        """Return a new one-time text for the first owner, or "" when an owner exists.

        Earlier texts stop working. The supervisor calls this at the first start.
        """
        with self._changes.change(Actor.system(PLATFORM), "owner_link.create") as change:
            if change.unit.identity.count_users():
                return ""
            for known in change.unit.credentials.of_kind(CredentialKind.CLAIM):
                change.unit.credentials.update(known.revoke(change.now_ms))
            text = make_text(CredentialKind.CLAIM, self._changes.random(304))
            claim = Credential(
                id=change.new_id("token"),
                kind=CredentialKind.CLAIM,
                user="",
                organization=PLATFORM,
                name="owner link",
                sha256=sha256_hex(text),
                hint=parse_text(text, CredentialKind.CLAIM),
                created_ms=change.now_ms,
                expires_ms=change.now_ms + _CLAIM_MS,
            )
            change.unit.credentials.add(claim)
            change.record(f"token/{claim.id}", {})
            return text

    def claim(self, text: str, *, email: str, name: str, password: str, organization: str) -> Claimed:
        """Make the first owner, their organization and its project `main` with the one-time text.

        Raises Unauthenticated for any other text, also for one that was used.
        """
        address, secret = check_email(email), check_password(password, check_email(email))
        check_name(organization, "organization")
        hashed = self._passwords.hash(secret)
        with self._changes.change(Actor.nobody(), "owner_link.use") as change:
            claim = change.unit.credentials.by_sha256(sha256_hex(text))
            valid = claim and claim.kind is CredentialKind.CLAIM and claim.valid(change.now_ms)
            if claim is None or not valid or change.unit.identity.count_users():
                raise Unauthenticated("This owner link is not valid, or was used.", hint="Sign in instead.")
            change.unit.credentials.update(claim.revoke(change.now_ms))
            user = self._new_user(change, address, name, hashed, "owner-link")
            tenant = Organization(change.new_id("organization"), organization, organization, change.now_ms)
            change.unit.identity.add_organization(tenant)
            change.record(f"user/{user.id}", {"email": address, "organization": tenant.id})
            owner = change.acting_as(
                replace(Actor.system(tenant.id), user=user.id, name=user.name, email=address)
            )
            change.unit.identity.add_binding(tenant.id, user.id, Binding(Role.OWNER, tenant.scope))
            project = _first_project(owner, tenant)
            owner.happened("organization.created", tenant.id, {"name": tenant.name})
            owner.happened("project.created", project.id, {"name": project.name})
        return Claimed(user, tenant, project)

    def invite(self, actor: Actor, *, email: str, name: str, role: Role, project: str = "") -> Invitation:
        """Add a member with a role in the organization, or in one project of it.

        The one-time password is shown once; who vouched for the address shows in the audit.
        """
        address = check_email(email)
        one_time = make_text("once", self._changes.random(304))
        hashed = self._passwords.hash(one_time)
        with self._changes.change(actor, "member.invite") as change:
            scope = self._grantable(change, role, project)
            user = change.unit.identity.user_by_email(address)
            shown = ""
            if user is None:
                user = self._new_user(change, address, name, hashed, f"invitation:{actor.user}")
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

    def change_password(self, actor: Actor, *, current: str, new: str) -> None:
        """Replace the actor's password; every other session of theirs ends."""
        secret = check_password(new, actor.email)
        with self._changes.read(actor) as view:
            stored = view.unit.identity.password_hash(actor.user)
        if not self._passwords.verify(stored, current):
            raise Forbidden("The current password is wrong.", field="current")
        if secret == current:
            raise Invalid("The new password is the old one.", field="new")
        hashed = self._passwords.hash(secret)
        with self._changes.change(actor, "password.change", f"user/{actor.user}") as change:
            change.unit.identity.set_password(actor.user, hashed, must_change=False)
            for session in change.unit.credentials.of_user(actor.user, CredentialKind.SESSION):
                if session.id != actor.credential:
                    change.unit.credentials.update(session.revoke(change.now_ms))
            change.record(f"user/{actor.user}", {})

    def members(self, actor: Actor) -> tuple[Member, ...]:
        """Return the organization's members with their roles."""
        with self._changes.read(actor) as view:
            view.require_organization(Permission.MEMBER_READ)
            return view.unit.identity.members(actor.organization)

    def grant(self, actor: Actor, user: str, *, role: Role, project: str = "") -> Member:
        """Give a member one more role. Nobody gives what they do not hold."""
        with self._changes.change(actor, "member.grant", f"user/{user}") as change:
            scope = self._grantable(change, role, project)
            member = self._member(change, user)
            binding = Binding(role, scope)
            if binding not in member.bindings:
                change.unit.identity.add_binding(actor.organization, user, binding)
            change.happened("member.changed", user, {"role": role}, scope=str(scope))
            return self._member(change, user)

    def withdraw(self, actor: Actor, user: str, *, role: Role, project: str = "") -> Member | None:
        """Take a role away; None when it was the last one. The last owner stays."""
        with self._changes.change(actor, "member.withdraw", f"user/{user}") as change:
            scope = self._grantable(change, role, project)
            member = self._member(change, user)
            binding = Binding(role, scope)
            if binding not in member.bindings:
                raise Conflict(f"{member.user.name} does not hold {role} at {scope}.", field="role")
            self._keep_an_owner(change, user, (binding,))
            change.unit.identity.remove_binding(actor.organization, user, binding)
            change.happened("member.changed", user, {"role": role}, scope=str(scope), taken=True)
            rest = tuple(known for known in member.bindings if known != binding)
            return replace(member, bindings=rest) if rest else None

    def remove(self, actor: Actor, user: str) -> None:
        """End a membership: every role, session and token in this organization."""
        with self._changes.change(actor, "member.remove", f"user/{user}") as change:
            change.require_organization(Permission.MEMBER_MANAGE)
            member = self._member(change, user)
            for binding in member.bindings:
                if not roles_within(actor.bindings, binding.role, binding.scope):
                    raise Forbidden(f"You do not hold all rights of {binding.role} yourself.")
            self._keep_an_owner(change, user, member.bindings)
            for binding in member.bindings:
                change.unit.identity.remove_binding(actor.organization, user, binding)
            for credential in change.unit.credentials.of_user(user):
                if credential.organization == actor.organization:
                    change.unit.credentials.update(credential.revoke(change.now_ms))
            change.happened("member.removed", user, {})

    def _new_user(
        self,
        change: Change,
        email: str,
        name: str,
        hashed: str,
        verified_by: str,
    ) -> User:
        title = name.strip()
        if not 1 <= len(title) <= 100 or not title.isprintable():
            raise Invalid("A name has 1 to 100 printable characters.", field="name")
        user = User(
            id=change.new_id("user"),
            email=email,
            name=title,
            verified_by=verified_by,
            must_change_password=verified_by.startswith("invitation:"),
            created_ms=change.now_ms,
        )
        change.unit.identity.add_user(user, hashed)
        return user

    def _grantable(self, change: Change, role: Role, project: str) -> Scope:
        actor = change.actor
        scope = Scope((actor.organization,))
        if project:
            scope = change.project(project, Permission.MEMBER_MANAGE).scope
        else:
            change.require_organization(Permission.MEMBER_MANAGE)
        if not roles_within(actor.bindings, role, scope):
            raise Forbidden(f"You do not hold all rights of {role} yourself.", field="role")
        return scope

    def _member(self, change: Change, user: str) -> Member:
        for member in change.unit.identity.members(change.organization):
            if member.user.id == user:
                return member
        raise absent("member", user)

    def _keep_an_owner(self, change: Change, user: str, leaving: tuple[Binding, ...]) -> None:
        owner = Binding(Role.OWNER, Scope((change.organization,)))
        if owner not in leaving:
            return
        others = (
            member for member in change.unit.identity.members(change.organization) if member.user.id != user
        )
        if not any(owner in member.bindings for member in others):
            raise Conflict(
                "An organization keeps at least one owner.", hint="Make somebody else an owner first."
            )


def _first_project(change: Change, tenant: Organization) -> Project:
    project = Project(
        id=change.new_id("project"),
        organization=tenant.id,
        name="main",
        title="Main",
        policy=ReviewPolicy(),
        path=(tenant.id,),
        created_ms=change.now_ms,
    )
    change.unit.identity.add_project(project)
    return project
