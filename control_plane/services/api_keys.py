"""API keys: a caller's right to invoke functions. The gateway checks them, from hashes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from control_plane.domain.access import Permission
from control_plane.domain.credentials import (
    ApiKey,
    KeyKind,
    KeyMode,
    make_text,
    parse_text,
    sha256_hex,
)
from control_plane.domain.identity import Actor, Project
from control_plane.domain.key_rules import checked_networks, narrows
from control_plane.domain.list_filters import KeyFilter
from control_plane.errors import Conflict, Invalid, PreconditionFailed
from control_plane.services.changes import Change, Changes, Page, View, absent

__all__ = ["ApiKeys", "KeyChange", "KeyLimits", "KeyMade", "KeyRights"]

_TEST_DAYS: Final = 90
_DAY_MS: Final = 86_400_000
_LONGEST_OVERLAP_S: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class KeyMade:
    """A key with a new secret; `text` is shown once and not stored."""

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


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What a key may call, how and from where; empty means all of the project, every way, everywhere."""

    # Ids or names.
    functions: tuple[str, ...] = ()
    modes: tuple[KeyMode, ...] = ()
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What shall be different; None leaves a thing as it is."""

    name: str | None = None
    functions: tuple[str, ...] | None = None
    modes: tuple[KeyMode, ...] | None = None
    networks: tuple[str, ...] | None = None
    rate_10s: int | None = None
    concurrency: int | None = None
    # Of life from now on; 0 means without end.
    days: int | None = None


class ApiKeys:
    """Use cases about API keys."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(  # noqa: PLR0913  (each is one part of what is wanted)
        self,
        actor: Actor,
        *,
        project: str,
        name: str,
        kind: KeyKind = KeyKind.LIVE,
        functions: tuple[str, ...] = (),
        limits: KeyLimits | None = None,
        rights: KeyRights | None = None,
    ) -> KeyMade:
        """Make a key for some functions of the project (ids or names), or for all of them."""
        chosen = limits or KeyLimits()
        wanted = rights or KeyRights(functions)
        _check(name, wanted.functions)
        text, sha256, hint = self._secret(kind)
        with self._changes.change(actor, "api_key.create") as change:
            place = change.project(project, Permission.KEY_MANAGE)
            key = ApiKey(
                id=change.new_id("api_key"),
                organization=actor.organization,
                project=place.id,
                name=name,
                kind=kind,
                sha256=sha256,
                hint=hint,
                scopes=_scopes(change, place, wanted.functions),
                rate_10s=chosen.rate_10s,
                concurrency=chosen.concurrency,
                created_by=actor.user,
                created_ms=change.now_ms,
                expires_ms=_end(kind, change.now_ms, change.now_ms, chosen.days),
                modes=_modes(wanted.modes),
                networks=checked_networks(wanted.networks),
            )
            change.unit.credentials.add_key(key)
            change.happened("api_key.created", key.id, {"project": place.id, "name": name}, **_details(key))
            change.bump()
        return KeyMade(key, text)

    def list(self, actor: Actor, *, project: str) -> tuple[ApiKey, ...]:
        """Return all of a project's keys, revoked ones too; never their texts."""
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.KEY_READ)
            return view.unit.credentials.keys(actor.organization, place.id)

    def page(
        self,
        actor: Actor,
        *,
        project: str,
        wanted: KeyFilter | None = None,
        after: str = "",
        limit: int = 50,
    ) -> Page[ApiKey]:
        """Return some of a project's keys that fit, newest first; a function is named by id or name."""
        asked = wanted or KeyFilter()
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.KEY_READ)
            if asked.function:
                function, _ = view.function(asked.function, Permission.FUNCTION_READ)
                if function.project != place.id:
                    raise Invalid(f"“{function.name}” is in another project.", field="function")
                asked = replace(asked, function=function.id)
            found = view.unit.credentials.keys_that_fit(
                (actor.organization, place.id), asked, view.now_ms, after, limit + 1
            )
        shown = found[:limit]
        return Page(shown, shown[-1].id if len(found) > limit else "")

    def get(self, actor: Actor, key: str) -> ApiKey:
        """Return one key."""
        with self._changes.read(actor) as view:
            return _known(view, key, Permission.KEY_READ)

    def change(self, actor: Actor, key: str, wanted: KeyChange, *, if_match: str) -> ApiKey:
        """Change a key's name, rights, limits or end; what it loses ends its open sessions too."""
        with self._changes.change(actor, "api_key.change", f"api_key/{key}") as change:
            known = _usable(change, key, if_match)
            place = change.project(known.project, Permission.KEY_MANAGE)
            changed = _changed(change, place, known, wanted)
            if changed == known:
                return known
            changed = replace(
                changed, revision=known.revision + 1, to_cut=known.to_cut or narrows(known, changed)
            )
            change.unit.credentials.update_key(changed)
            data = {"project": known.project, "name": changed.name}
            change.happened("api_key.changed", key, data, **_details(changed))
            change.bump()
        return changed

    def rotate(self, actor: Actor, key: str, *, overlap_s: int, if_match: str = "") -> KeyMade:
        """Give a key a new secret; the one before opens for `overlap_s` more, older ones no more."""
        if not 0 <= overlap_s <= _LONGEST_OVERLAP_S:
            raise Invalid("Two secrets overlap for 0 seconds to 30 days.", field="overlap_s")
        with self._changes.change(actor, "api_key.rotate", f"api_key/{key}") as change:
            known = _usable(change, key, if_match)
            text, sha256, hint = self._secret(known.kind)
            rotated = known.rotate(sha256, hint, change.now_ms + overlap_s * 1_000, change.now_ms)
            self._rotated(change, rotated)
        return KeyMade(rotated, text)

    def end_overlap(self, actor: Actor, key: str) -> ApiKey:
        """Let a key's newest secret alone open from now on."""
        with self._changes.change(actor, "api_key.rotate", f"api_key/{key}") as change:
            known = _usable(change, key, "")
            alone = known.forget_previous()
            if alone != known:
                self._rotated(change, alone)
        return alone

    def revoke(self, actor: Actor, key: str) -> ApiKey:
        """End a key: within seconds no call and no open session of it is left."""
        with self._changes.change(actor, "api_key.revoke", f"api_key/{key}") as change:
            known = _known(change, key, Permission.KEY_MANAGE)
            if known.revoked_ms:
                return known
            revoked = known.revoke(change.now_ms)
            change.unit.credentials.update_key(revoked)
            change.happened("api_key.revoked", key, {"project": known.project, "name": known.name})
            change.bump()
        return revoked

    def _secret(self, kind: KeyKind) -> tuple[str, str, str]:
        """Return a new text, its hash and its public part."""
        prefix = f"ing_{kind}"
        text = make_text(prefix, self._changes.random(304))
        return text, sha256_hex(text), parse_text(text, prefix)

    def _rotated(self, change: Change, key: ApiKey) -> None:
        change.unit.credentials.update_key(key)
        data = {"project": key.project, "name": key.name}
        change.happened("api_key.rotated", key.id, data, previous_until_ms=key.previous_until_ms)
        change.bump()


def _known(view: View, key: str, permission: Permission) -> ApiKey:
    known = view.unit.credentials.key(view.organization, key)
    if known is None:
        raise absent("API key", key)
    view.project(known.project, permission)
    return known


def _usable(change: Change, key: str, if_match: str) -> ApiKey:
    known = _known(change, key, Permission.KEY_MANAGE)
    if if_match and if_match != known.etag:
        raise PreconditionFailed("The key has changed since it was read.", hint="Read it again, then repeat.")
    if known.revoked_ms:
        raise Conflict(f"The key “{known.name}” is revoked for ever.", hint="Make a new key.")
    return known


def _changed(change: Change, place: Project, key: ApiKey, wanted: KeyChange) -> ApiKey:
    name = key.name if wanted.name is None else wanted.name
    _check(name, wanted.functions or ())
    rate = key.rate_10s if wanted.rate_10s is None else wanted.rate_10s
    concurrency = key.concurrency if wanted.concurrency is None else wanted.concurrency
    limits = KeyLimits(rate, concurrency, wanted.days or 0)
    scopes, modes, networks = wanted.functions, wanted.modes, wanted.networks
    days = wanted.days
    return replace(
        key,
        name=name,
        rate_10s=limits.rate_10s,
        concurrency=limits.concurrency,
        scopes=key.scopes if scopes is None else _scopes(change, place, scopes),
        modes=key.modes if modes is None else _modes(modes),
        networks=key.networks if networks is None else checked_networks(networks),
        expires_ms=(key.expires_ms if days is None else _end(key.kind, key.created_ms, change.now_ms, days)),
    )


def _end(kind: KeyKind, created_ms: int, now_ms: int, days: int) -> int:
    """Return when a key expires; a test key at the latest 90 days after it was made."""
    wanted = now_ms + days * _DAY_MS if days else 0
    if kind is not KeyKind.TEST:
        return wanted
    latest = created_ms + _TEST_DAYS * _DAY_MS
    return min(wanted or latest, latest)


def _modes(modes: tuple[KeyMode, ...]) -> tuple[KeyMode, ...]:
    """Return the modes in one order; all of them are as good as none named."""
    kept = tuple(mode for mode in KeyMode if mode in modes)
    return () if len(kept) == len(KeyMode) else kept


def _details(key: ApiKey) -> dict[str, object]:
    return {"scopes": list(key.scopes), "modes": list(key.modes), "networks": list(key.networks)}


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
