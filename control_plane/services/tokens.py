"""Personal tokens: how the CLI and robots sign in, in one organization, until they expire.

A token carries all of its owner's rights, or some of them at one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.domain.access import Permission, Restriction
from control_plane.domain.credentials import Credential, CredentialKind, make_text, parse_text, sha256_hex
from control_plane.domain.identity import Actor
from control_plane.errors import Forbidden, Invalid
from control_plane.services.changes import Change, Changes, absent
from control_plane.services.places import HERE, At, find_scope

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

    def create(
        self,
        actor: Actor,
        *,
        name: str,
        days: int = 90,
        permissions: Sequence[Permission] = (),
        at: At = HERE,
    ) -> TokenMade:
        """Make a token with the actor's own rights, or the named ones of them at a place.

        What it carries counts only while its owner holds it. A token never makes
        one that carries more than itself.
        """
        if not 1 <= days <= 366:
            raise Invalid("A token lives 1 to 366 days.", field="days")
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise Invalid("A token's name has 1 to 100 printable characters.", field="name")
        text = make_text(CredentialKind.TOKEN, self._changes.random(304))
        with self._changes.change(actor, "token.create") as change:
            if actor.must_change_password:
                raise Forbidden("The one-time password must be changed first.")
            restriction = _restriction(change, permissions, at)
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
                restriction=restriction,
            )
            change.unit.credentials.add(token)
            carries = _described(restriction)
            change.record(f"token/{token.id}", {"name": name, "days": days, **carries})
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
            if known.revoked_ms:
                return known
            revoked = known.revoke(change.now_ms)
            change.unit.credentials.update(revoked)
            change.record(f"token/{token}", {"name": known.name})
        return revoked


def _restriction(change: Change, permissions: Sequence[Permission], at: At) -> Restriction | None:
    """Return what a new token carries; every permission of it must be held at the place."""
    mine = change.actor.restriction
    if not permissions and at == HERE:
        return mine
    scope = find_scope(change, at, Permission.PROJECT_READ)
    wanted = tuple(sorted(set(permissions)))
    if not wanted:
        wanted = tuple(sorted(one for one in Permission if change.allows(one, scope)))
    for one in wanted:
        if not change.allows(one, scope):
            raise Forbidden(f"You do not hold {one} there yourself.", field="permissions")
    return Restriction(wanted, scope)


def _described(restriction: Restriction | None) -> dict[str, object]:
    if restriction is None:
        return {}
    return {"permissions": list(restriction.permissions), "scope": str(restriction.scope)}
