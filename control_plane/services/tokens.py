"""Personal tokens: how the CLI and robots sign in, in one organization, until they expire."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.domain.credentials import Credential, CredentialKind, make_text, parse_text, sha256_hex
from control_plane.domain.identity import Actor
from control_plane.errors import Forbidden, Invalid
from control_plane.services.changes import Changes, absent

__all__ = ["TokenMade", "Tokens"]


@dataclass(frozen=True, slots=True)
class TokenMade:
    """A new token; `text` is shown once and not stored."""

    token: Credential
    text: str


class Tokens:
    """Use cases about personal tokens."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(self, actor: Actor, *, name: str, days: int = 90) -> TokenMade:
        """Make a token with the actor's own rights; it cannot make further ones' rights larger."""
        if not 1 <= days <= 366:
            raise Invalid("A token lives 1 to 366 days.", field="days")
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise Invalid("A token's name has 1 to 100 printable characters.", field="name")
        text = make_text(CredentialKind.TOKEN, self._changes.random(304))
        with self._changes.change(actor, "token.create") as change:
            if actor.must_change_password:
                raise Forbidden("The one-time password must be changed first.")
            token = Credential(
                id=change.new_id("token"),
                kind=CredentialKind.TOKEN,
                user=actor.user,
                organization=actor.organization,
                name=name,
                sha256=sha256_hex(text),
                hint=parse_text(text, CredentialKind.TOKEN),
                created_ms=change.now_ms,
                expires_ms=change.now_ms + days * 86_400_000,
            )
            change.unit.credentials.add(token)
            change.record(f"token/{token.id}", {"name": name, "days": days})
        return TokenMade(token, text)

    def list(self, actor: Actor) -> tuple[Credential, ...]:
        """Return the actor's own tokens in this organization, revoked ones too."""
        with self._changes.read(actor) as view:
            tokens = view.unit.credentials.of_user(actor.user, CredentialKind.TOKEN)
        return tuple(token for token in tokens if token.organization == actor.organization)

    def revoke(self, actor: Actor, token: str) -> Credential:
        """End one of the actor's own tokens; repeating it is no error."""
        with self._changes.change(actor, "token.revoke", f"token/{token}") as change:
            known = change.unit.credentials.get(actor.organization, token)
            if known is None or known.user != actor.user or known.kind is not CredentialKind.TOKEN:
                raise absent("token", token)
            revoked = known.revoke(change.now_ms)
            change.unit.credentials.update(revoked)
            change.record(f"token/{token}", {"name": known.name})
        return revoked
