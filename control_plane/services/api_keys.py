"""API keys: a caller's right to invoke functions. The gateway checks them, from hashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from control_plane.domain.access import Permission
from control_plane.domain.credentials import ApiKey, KeyKind, make_text, parse_text, sha256_hex
from control_plane.domain.identity import Actor, Project
from control_plane.errors import Invalid
from control_plane.services.changes import Change, Changes, absent

__all__ = ["ApiKeys", "KeyLimits", "KeyMade"]

_TEST_DAYS: Final = 90


@dataclass(frozen=True, slots=True)
class KeyMade:
    """A new key; `text` is shown once and not stored."""

    key: ApiKey
    text: str


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key may use; 0 means without limit. A test key lives 90 days at most."""

    # Calls in 10 seconds.
    rate_10s: int = 0
    # Calls at once.
    concurrency: int = 0
    days: int = 0

    def __post_init__(self) -> None:
        largest = (("rate_10s", 1_000_000), ("concurrency", 100_000), ("days", 3_660))
        for field, most in largest:
            if not 0 <= getattr(self, field) <= most:
                raise Invalid(f"A key's {field} is 0 to {most}.", field=field)


class ApiKeys:
    """Use cases about API keys."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(
        self,
        actor: Actor,
        *,
        project: str,
        name: str,
        kind: KeyKind = KeyKind.LIVE,
        functions: tuple[str, ...] = (),
        limits: KeyLimits | None = None,
    ) -> KeyMade:
        """Make a key for some functions of the project (ids or names), or for all of them."""
        _check(name, functions)
        chosen = limits or KeyLimits()
        days = chosen.days
        if kind is KeyKind.TEST:
            days = min(days or _TEST_DAYS, _TEST_DAYS)
        prefix = f"ing_{kind}"
        text = make_text(prefix, self._changes.random(304))
        with self._changes.change(actor, "api_key.create") as change:
            place = change.project(project, Permission.KEY_MANAGE)
            key = ApiKey(
                id=change.new_id("api_key"),
                organization=actor.organization,
                project=place.id,
                name=name,
                kind=kind,
                sha256=sha256_hex(text),
                hint=parse_text(text, prefix),
                scopes=_scopes(change, place, functions),
                rate_10s=chosen.rate_10s,
                concurrency=chosen.concurrency,
                created_by=actor.user,
                created_ms=change.now_ms,
                expires_ms=change.now_ms + days * 86_400_000 if days else 0,
            )
            change.unit.credentials.add_key(key)
            change.happened(
                "api_key.created", key.id, {"project": place.id, "name": name}, scopes=list(key.scopes)
            )
            change.bump()
        return KeyMade(key, text)

    def list(self, actor: Actor, *, project: str) -> tuple[ApiKey, ...]:
        """Return a project's keys, revoked ones too; never their texts."""
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.KEY_READ)
            return view.unit.credentials.keys(actor.organization, place.id)

    def get(self, actor: Actor, key: str) -> ApiKey:
        """Return one key."""
        with self._changes.read(actor) as view:
            known = view.unit.credentials.key(actor.organization, key)
            if known is None:
                raise absent("API key", key)
            view.project(known.project, Permission.KEY_READ)
            return known

    def revoke(self, actor: Actor, key: str) -> ApiKey:
        """End a key: within seconds no call and no open session of it is left."""
        with self._changes.change(actor, "api_key.revoke", f"api_key/{key}") as change:
            known = change.unit.credentials.key(actor.organization, key)
            if known is None:
                raise absent("API key", key)
            change.project(known.project, Permission.KEY_MANAGE)
            if known.revoked_ms:
                return known
            revoked = known.revoke(change.now_ms)
            change.unit.credentials.update_key(revoked)
            change.happened("api_key.revoked", key, {"project": known.project, "name": known.name})
            change.bump()
        return revoked


def _check(name: str, functions: tuple[str, ...]) -> None:
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise Invalid("A key's name has 1 to 100 printable characters.", field="name")
    if len(functions) > 100:
        raise Invalid("A key names at most 100 functions.", field="functions")


def _scopes(change: Change, place: Project, functions: tuple[str, ...]) -> tuple[str, ...]:
    if not functions:
        return (place.id,)
    known = [change.function(one, Permission.FUNCTION_READ)[0] for one in functions]
    for function in known:
        if function.project != place.id:
            raise Invalid(f"“{function.name}” is in another project.", field="functions")
    return tuple(sorted({function.id for function in known}))
