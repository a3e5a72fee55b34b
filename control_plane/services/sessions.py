"""Signing in and out, and telling who a request comes from.

Guessing is slowed down for each address; a wrong address costs the same time
as a wrong password.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from control_plane.domain.credentials import Credential, CredentialKind, make_text, parse_text, sha256_hex
from control_plane.domain.identity import Actor, Method, Organization, User
from control_plane.errors import Invalid, NotFound, TooMany, Unauthenticated
from control_plane.ports import Passwords
from control_plane.services.changes import Changes

__all__ = ["Opened", "Sessions", "wait_after"]

_SESSION_MS: Final = 12 * 3_600_000
_FREE_ATTEMPTS: Final = 3
_LONGEST_WAIT_MS: Final = 15 * 60_000
_REMEMBERED_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session; `text` goes into the cookie and is not stored."""

    session: Credential
    text: str
    user: User
    organization: Organization


def wait_after(failures: int) -> int:
    """Return how many milliseconds to wait after this many failures in a row."""
    if failures <= _FREE_ATTEMPTS:
        return 0
    return int(min(1_000 << min(failures - _FREE_ATTEMPTS - 1, 20), _LONGEST_WAIT_MS))


class Sessions:
    """Use cases about proving who one is."""

    def __init__(self, changes: Changes, passwords: Passwords) -> None:
        self._changes = changes
        self._passwords = passwords
        # Verified against when the address is unknown, so that both take as long.
        self._decoy = ""

    def login(
        self, *, email: str, password: str, organization: str = "", request: str = "", address: str = ""
    ) -> Opened:
        """Open a session in the named organization, or in the user's only or first one.

        Raises Unauthenticated, the same for a wrong address and a wrong password,
        and TooMany while the address waits after failures.
        """
        nobody = Actor.nobody(request, address)
        who = email.strip().lower()[:260]
        self._begin_attempt(nobody, who)
        with self._changes.read(nobody) as view:
            user = view.unit.identity.user_by_email(who)
            stored = view.unit.identity.password_hash(user.id) if user else ""
        if (
            not self._passwords.verify(stored or self._decoy_hash(), password)
            or user is None
            or user.disabled
        ):
            raise Unauthenticated("The e-mail address or the password is wrong.", hint="Try again.")
        return self._open(nobody, user, who, organization)

    def logout(self, actor: Actor) -> None:
        """End the session that the actor came with."""
        with self._changes.change(actor, "session.end", f"session/{actor.credential}") as change:
            session = change.unit.credentials.get(actor.organization, actor.credential)
            if session is not None and session.kind is CredentialKind.SESSION:
                change.unit.credentials.update(session.revoke(change.now_ms))
                change.record(f"session/{session.id}", {})

    def authenticate(self, text: str, *, request: str = "", address: str = "") -> Actor:
        """Return who a session or personal token belongs to, with the rights of this moment.

        Raises Unauthenticated for anything else, before a look-up where the text is damaged.
        """
        kind, method = CredentialKind.SESSION, Method.SESSION
        if text.startswith(f"{CredentialKind.TOKEN}_"):
            kind, method = CredentialKind.TOKEN, Method.TOKEN
        refused = Unauthenticated("This sign-in is not valid any more.", hint="Sign in again.")
        try:
            parse_text(text, kind)
        except Invalid:
            raise refused from None
        with self._changes.read(Actor.nobody(request, address)) as view:
            credential = view.unit.credentials.by_sha256(sha256_hex(text))
            if credential is None or credential.kind is not kind or not credential.valid(view.now_ms):
                raise refused
            user = view.unit.identity.user(credential.user)
            bindings = view.unit.identity.bindings(credential.organization, credential.user)
            if user is None or user.disabled or not bindings:
                raise refused
        return Actor(
            user=user.id,
            name=user.name,
            email=user.email,
            organization=credential.organization,
            bindings=bindings,
            method=method,
            credential=credential.id,
            request=request,
            address=address,
            must_change_password=user.must_change_password,
        )

    def organizations(self, actor: Actor) -> tuple[Organization, ...]:
        """Return the organizations that the actor is a member of."""
        with self._changes.read(actor) as view:
            return view.unit.identity.organizations_of(actor.user)

    def act_in(self, actor: Actor, organization: str) -> Actor:
        """Return the same person acting in another organization of theirs, by id or name."""
        with self._changes.read(actor) as view:
            for known in view.unit.identity.organizations_of(actor.user):
                if organization in {known.id, known.name}:
                    bindings = view.unit.identity.bindings(known.id, actor.user)
                    return replace(actor, organization=known.id, bindings=bindings)
        raise NotFound(f"There is no organization “{organization[:80]}”.")

    def _begin_attempt(self, nobody: Actor, who: str) -> None:
        """Count the attempt as failed before it is made, so that parallel guesses gain nothing."""
        with self._changes.change(nobody, "session.attempt") as change:
            failures, last_ms = change.unit.identity.login_failures(who)
            ready_ms = last_ms + wait_after(failures)
            if change.now_ms < ready_ms:
                seconds = -(-(ready_ms - change.now_ms) // 1_000)
                raise TooMany(f"Too many attempts; wait {seconds} s.", hint=f"Retry after {seconds} seconds.")
            change.unit.identity.forget_login_failures(change.now_ms - _REMEMBERED_MS)
            change.unit.identity.set_login_failures(who, failures + 1, change.now_ms)
            if failures >= _FREE_ATTEMPTS:
                change.record("session/", {"email": who, "failures": failures}, outcome="failed")

    def _open(self, nobody: Actor, user: User, who: str, organization: str) -> Opened:
        with self._changes.read(nobody) as view:
            tenants = view.unit.identity.organizations_of(user.id)
        chosen = [one for one in tenants if not organization or organization in {one.id, one.name}]
        if not chosen:
            raise Unauthenticated("You are not a member of this organization.", hint="Name another one.")
        tenant = chosen[0]
        text = make_text(CredentialKind.SESSION, self._changes.random(304))
        actor = Actor(
            user=user.id,
            name=user.name,
            email=user.email,
            organization=tenant.id,
            bindings=(),
            method=Method.SESSION,
            request=nobody.request,
            address=nobody.address,
        )
        with self._changes.change(actor, "session.open") as change:
            session = Credential(
                id=change.new_id("session"),
                kind=CredentialKind.SESSION,
                user=user.id,
                organization=tenant.id,
                name="console",
                sha256=sha256_hex(text),
                hint=parse_text(text, CredentialKind.SESSION),
                created_ms=change.now_ms,
                expires_ms=change.now_ms + _SESSION_MS,
            )
            change.unit.credentials.add(session)
            change.unit.identity.set_login_failures(who, 0, 0)
            change.record(f"session/{session.id}", {})
        return Opened(session, text, user, tenant)

    def _decoy_hash(self) -> str:
        if not self._decoy:
            self._decoy = self._passwords.hash("nobody has this password")
        return self._decoy
