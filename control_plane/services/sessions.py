"""Signing in and out, a person's open sessions, and telling who a request comes from.

A wrong address costs the same time as a wrong password; `attempts` slows guessing down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from control_plane.domain.credentials import Credential, CredentialKind, make_text, parse_text, sha256_hex
from control_plane.domain.identity import Actor, Method, Organization, User
from control_plane.errors import Forbidden, Invalid, NotFound, Unauthenticated
from control_plane.ports import Passwords
from control_plane.services.attempts import Attempts
from control_plane.services.changes import Changes, View, absent

__all__ = ["Opened", "Sessions"]

_SESSION_MS: Final = 12 * 3_600_000
# A write for each request would cost more than anybody learns from the second.
_NOTED_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session; `text` goes into the cookie and is not stored."""

    session: Credential
    text: str
    user: User
    organization: Organization


class Sessions:
    """Use cases about proving who one is."""

    def __init__(self, changes: Changes, passwords: Passwords) -> None:
        self._changes = changes
        self._passwords = passwords
        # Verified against when the address is unknown, so that both take as long.
        self._decoy = ""
        self._attempts = Attempts(changes)
        # Credential -> when its use was written down last, by this process.
        self._noted: dict[str, int] = {}

    def login(
        self, *, email: str, password: str, organization: str = "", request: str = "", address: str = ""
    ) -> Opened:
        """Open a session in the named organization, or in the user's only or first one.

        Who holds a role in the whole system may name any organization. Raises
        Unauthenticated, the same for a wrong address and a wrong password, and
        TooMany while the account or the network address waits after failures.
        """
        nobody = Actor.nobody(request, address)
        who = email.strip().lower()[:260]
        self._attempts.begin(nobody, who)
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

    def end_replaced(self, text: str, opened: Opened) -> None:
        """End the session that a browser still held when it opened a new one, if it was the same person's."""
        if not text:
            return
        with self._changes.change(self.authenticate(opened.text), "session.replace") as change:
            known = change.unit.credentials.by_sha256(sha256_hex(text))
            mine = known is not None and (known.kind, known.user) == (CredentialKind.SESSION, opened.user.id)
            if known is not None and mine and known.valid(change.now_ms):
                change.unit.credentials.update(known.revoke(change.now_ms))
                change.record(f"session/{known.id}", {"by": opened.session.id})

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
            bindings = view.unit.identity.rights(credential.organization, credential.user)
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
            restriction=credential.restriction,
        )

    def note_use(self, actor: Actor) -> None:
        """Write down, to the minute, that the actor's session or token proved something."""
        now_ms = self._changes.now_ms
        if now_ms - self._noted.get(actor.credential, 0) < _NOTED_MS:
            return
        self._noted = {one: at for one, at in self._noted.items() if now_ms - at < _NOTED_MS}
        self._noted[actor.credential] = now_ms
        self._changes.note_use(actor.credential)

    def list(self, actor: Actor) -> tuple[Credential, ...]:
        """Return the actor's own open sessions in all their organizations, newest first."""
        with self._changes.read(actor) as view:
            return _open_sessions(view)

    def revoke(self, actor: Actor, session: str) -> None:
        """End one of the actor's own sessions; repeating it is no error."""
        with self._changes.change(actor, "session.revoke", f"session/{session}") as change:
            _refuse_restricted(actor)
            known = change.unit.credentials.of_user(actor.user, CredentialKind.SESSION)
            for one in known:
                if one.id == session:
                    change.unit.credentials.update(one.revoke(change.now_ms))
                    change.record(f"session/{session}", {})
                    return
            raise absent("session", session)

    def revoke_others(self, actor: Actor) -> int:
        """End all sessions of the actor's but the one they came with; return how many."""
        with self._changes.change(actor, "session.revoke_others") as change:
            _refuse_restricted(actor)
            others = [one for one in _open_sessions(change) if one.id != actor.credential]
            for one in others:
                change.unit.credentials.update(one.revoke(change.now_ms))
            change.record(f"user/{actor.user}", {"sessions": len(others)})
        return len(others)

    def act_in(self, actor: Actor, organization: str) -> Actor:
        """Return the same person acting in another organization of theirs, by id or name."""
        with self._changes.read(actor) as view:
            for known in view.unit.identity.organizations_of(actor.user):
                if organization in {known.id, known.name}:
                    bindings = view.unit.identity.rights(known.id, actor.user)
                    return replace(actor, organization=known.id, bindings=bindings)
        raise NotFound(f"There is no organization “{organization[:80]}”.")

    def _open(self, nobody: Actor, user: User, who: str, organization: str) -> Opened:
        with self._changes.read(nobody) as view:
            tenant = _entered(view, user.id, organization)
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
                address=nobody.address,
            )
            change.unit.credentials.add(session)
            self._attempts.succeeded(change, who)
            change.record(f"session/{session.id}", {})
        return Opened(session, text, user, tenant)

    def _decoy_hash(self) -> str:
        if not self._decoy:
            self._decoy = self._passwords.hash("nobody has this password")
        return self._decoy


def _entered(view: View, user: str, organization: str) -> Organization:
    """Return the organization that a user may act in: the named one, else their first one."""
    rows = view.unit.identity
    for one in rows.organizations_of(user):
        if (not organization or organization in {one.id, one.name}) and rows.rights(one.id, user):
            return one
    if organization and rows.bindings("", user):
        find = rows.organization if organization.startswith("org_") else rows.organization_by_name
        named = find(organization)
        if named is not None and rows.rights(named.id, user):
            return named
    raise Unauthenticated("You are not a member of this organization.", hint="Name another one.")


def _open_sessions(view: View) -> tuple[Credential, ...]:
    known = view.unit.credentials.of_user(view.actor.user, CredentialKind.SESSION)
    return tuple(one for one in known if one.valid(view.now_ms))


def _refuse_restricted(actor: Actor) -> None:
    if actor.restriction is not None:
        raise Forbidden(
            "This token carries only a part of your rights.", hint="Use a session or another token."
        )
