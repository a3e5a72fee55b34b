"""Accounts: the first owner's claim, and people's own passwords.

Signing in is in `sessions`, personal tokens in `tokens`, roles in `members`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from control_plane.domain.access import SYSTEM, Binding, Role
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
    Method,
    Organization,
    Project,
    User,
    check_email,
)
from control_plane.domain.ids import check_name
from control_plane.domain.passwords import check_password
from control_plane.errors import Forbidden, Invalid, Unauthenticated
from control_plane.ports import BreachedPasswords, Passwords
from control_plane.services.attempts import Attempts
from control_plane.services.changes import Change, Changes
from control_plane.services.organizations import found

__all__ = ["Accounts", "Claimed", "new_user"]

_CLAIM_MS: Final = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of the first owner's claim."""

    user: User
    organization: Organization
    project: Project


class Accounts:
    """Use cases about users as people, above all organizations."""

    def __init__(self, changes: Changes, passwords: Passwords, breached: BreachedPasswords) -> None:
        self._changes = changes
        self._passwords = passwords
        self._breached = breached
        self._attempts = Attempts(changes)

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
        """Make the first owner, of the system too, their organization and its project `main`.

        Raises Unauthenticated for any other text, also for one that was used.
        """
        address = check_email(email)
        secret = self._checked(password, address, (name, organization))
        check_name(organization, "organization")
        hashed = self._passwords.hash(secret)
        with self._changes.change(Actor.nobody(), "owner_link.use") as change:
            claim = change.unit.credentials.by_sha256(sha256_hex(text))
            valid = claim and claim.kind is CredentialKind.CLAIM and claim.valid(change.now_ms)
            if claim is None or not valid or change.unit.identity.count_users():
                raise Unauthenticated("This owner link is not valid, or was used.", hint="Sign in instead.")
            change.unit.credentials.update(claim.revoke(change.now_ms))
            user = new_user(change, address, name, hashed, "owner-link")
            tenant = Organization(change.new_id("organization"), organization, organization, change.now_ms)
            change.record(f"user/{user.id}", {"email": address, "organization": tenant.id})
            change.unit.identity.add_binding("", user.id, Binding(Role.OWNER, SYSTEM))
            founder = replace(Actor.system(tenant.id), user=user.id, name=user.name, email=address)
            project = found(change, tenant, founder)
        return Claimed(user, tenant, project)

    def change_password(self, actor: Actor, *, current: str, new: str) -> str:
        """Replace the actor's password; every session of theirs ends.

        Returns the text of a new session in place of the one that the actor came
        with, or "" when they came with a token. Guesses wait as those of a sign-in do.
        """
        secret = self._checked(new, actor.email, (actor.name,))
        if actor.restriction is not None:
            raise Forbidden("This token carries only a part of your rights.", hint="Sign in instead.")
        self._attempts.begin(actor, actor.email)
        with self._changes.read(actor) as view:
            stored = view.unit.identity.password_hash(actor.user)
        if not self._passwords.verify(stored, current):
            raise Forbidden("The current password is wrong.", field="current_password", hint="Try again.")
        if secret == current:
            raise Invalid(
                "The new password is the old one.", field="new_password", hint="Choose another one."
            )
        hashed = self._passwords.hash(secret)
        text = make_text(CredentialKind.SESSION, self._changes.random(304))
        with self._changes.change(actor, "password.change", f"user/{actor.user}") as change:
            change.unit.identity.set_password(actor.user, hashed, must_change=False)
            self._attempts.succeeded(change, actor.email)
            for session in change.unit.credentials.of_user(actor.user, CredentialKind.SESSION):
                if session.valid(change.now_ms):
                    change.unit.credentials.update(session.revoke(change.now_ms))
                if session.id == actor.credential:
                    again = replace(
                        session,
                        id=change.new_id("session"),
                        sha256=sha256_hex(text),
                        hint=parse_text(text, CredentialKind.SESSION),
                    )
                    change.unit.credentials.add(again)
            change.record(f"user/{actor.user}", {})
        return text if actor.method is Method.SESSION else ""

    def _checked(self, password: str, email: str, names: tuple[str, ...]) -> str:
        """Return a new password that is neither easy to guess nor known to have leaked."""
        secret = check_password(password, email, names)
        if self._breached.holds(secret):
            raise Invalid(
                "This password is on the list of those that leaked.", field="password", hint="Use a sentence."
            )
        return secret


def new_user(change: Change, email: str, name: str, hashed: str, verified_by: str) -> User:
    """Insert a user; whoever was invited must choose a password before anything else."""
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
