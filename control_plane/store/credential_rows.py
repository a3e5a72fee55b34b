"""Rows of sessions, personal tokens and API keys."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Text, and_, or_, type_coerce, update

from control_plane.domain.credentials import ApiKey, Credential, CredentialKind
from control_plane.domain.list_filters import KeyFilter, KeyState
from control_plane.store.identity_tables import api_keys, credentials
from control_plane.store.rows import Rows

__all__ = ["CredentialRows"]


class CredentialRows:
    """What proves who somebody is."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._credentials = Rows(connection, credentials, Credential)
        self._keys = Rows(connection, api_keys, ApiKey)

    def add(self, credential: Credential) -> None:
        """Insert a session or token."""
        self._credentials.add(credential)

    def update(self, credential: Credential) -> None:
        """Write a session or token back."""
        self._credentials.update(credential, "organization", "id")

    def get(self, organization: str, credential: str) -> Credential | None:
        """Return a session or token by id."""
        return self._credentials.one(organization=organization, id=credential)

    def by_sha256(self, sha256: str) -> Credential | None:
        """Return the session or token with this hash: the only look-up before a tenant is known."""
        return self._credentials.one(sha256=sha256)

    def of_user(self, user: str, kind: CredentialKind | None = None) -> tuple[Credential, ...]:
        """Return a user's sessions and tokens, newest first."""
        statement = self._credentials.select(credentials.c.user == user)
        if kind is not None:
            statement = statement.where(credentials.c.kind == kind)
        return self._credentials.all(statement.order_by(credentials.c.id.desc()))

    def of_kind(self, kind: CredentialKind) -> tuple[Credential, ...]:
        """Return all of a kind: the owner links."""
        return self._credentials.all(self._credentials.select(credentials.c.kind == kind))

    def restricted(self, organization: str) -> tuple[Credential, ...]:
        """Return a tenant's usable tokens that carry only a part of their owners' rights."""
        statement = self._credentials.select(
            credentials.c.kind == CredentialKind.TOKEN,
            credentials.c.organization == organization,
            credentials.c.revoked_ms == 0,
        )
        return tuple(token for token in self._credentials.all(statement) if token.restriction)

    def used(self, credential: str, now_ms: int) -> None:
        """Note when a session or token last proved something; nothing else of it changes."""
        self._connection.execute(
            update(credentials).where(credentials.c.id == credential).values(used_ms=now_ms)
        )

    def add_key(self, key: ApiKey) -> None:
        """Insert an API key."""
        self._keys.add(key)

    def update_key(self, key: ApiKey) -> None:
        """Write an API key back."""
        self._keys.update(key, "organization", "id")

    def key(self, organization: str, key: str) -> ApiKey | None:
        """Return an API key by id."""
        return self._keys.one(organization=organization, id=key)

    def keys(self, organization: str, project: str) -> tuple[ApiKey, ...]:
        """Return a project's API keys, newest first."""
        statement = self._keys.select(api_keys.c.organization == organization, api_keys.c.project == project)
        return self._keys.all(statement.order_by(api_keys.c.id.desc()))

    def key_page(
        self,
        organization: str,
        project: str,
        after: str,
        limit: int,
        *narrowed: ColumnElement[bool],
    ) -> tuple[ApiKey, ...]:
        """Return some of a project's API keys, newest first; `after` is the id before."""
        statement = self._keys.select(
            api_keys.c.organization == organization, api_keys.c.project == project, *narrowed
        )
        if after:
            statement = statement.where(api_keys.c.id < after)
        return self._keys.all(statement.order_by(api_keys.c.id.desc()).limit(limit))

    def keys_that_fit(
        self, place: tuple[str, str], wanted: KeyFilter, now_ms: int, after: str, limit: int
    ) -> tuple[ApiKey, ...]:
        """Return some of the keys of a (tenant, project) that fit, newest first, as `key_page` does."""
        narrowed = [] if wanted.state is None else [_in_state(wanted.state, now_ms)]
        if wanted.name:
            narrowed.append(api_keys.c.name.istartswith(wanted.name, autoescape=True))
        if wanted.function:
            # Ids hold no character that JSON writes in another way.
            scopes = type_coerce(api_keys.c.scopes, Text)
            named = (scopes.contains(f'"{one}"', autoescape=True) for one in (wanted.function, place[1]))
            narrowed.append(or_(*named))
        return self.key_page(*place, after, limit, *narrowed)

    def unrevoked_keys(self, now_ms: int) -> tuple[ApiKey, ...]:
        """Return every usable key over all tenants, for the reconciler alone."""
        unexpired = or_(api_keys.c.expires_ms == 0, api_keys.c.expires_ms > now_ms)
        return self._keys.all(self._keys.select(api_keys.c.revoked_ms == 0, unexpired))

    def uncut_keys(self) -> tuple[ApiKey, ...]:
        """Return the keys whose open sessions are to be ended, for the reconciler alone."""
        return self._keys.all(self._keys.select(api_keys.c.to_cut))


def _in_state(state: KeyState, now_ms: int) -> ColumnElement[bool]:
    if state is KeyState.REVOKED:
        return api_keys.c.revoked_ms > 0
    usable = api_keys.c.revoked_ms == 0
    if state is KeyState.EXPIRED:
        return and_(usable, api_keys.c.expires_ms.between(1, now_ms))
    return and_(usable, or_(api_keys.c.expires_ms == 0, api_keys.c.expires_ms > now_ms))
