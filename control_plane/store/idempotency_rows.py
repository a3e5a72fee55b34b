"""Rows of first attempts with an Idempotency-Key."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from control_plane.domain.idempotency import Attempt
from control_plane.store.journal_tables import idempotency_keys
from control_plane.store.rows import Rows

__all__ = ["IdempotencyRows"]


class IdempotencyRows:
    """What is remembered of requests that may be repeated."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._attempts = Rows(connection, idempotency_keys, Attempt)

    def get(self, organization: str, user: str, key: str) -> Attempt | None:
        """Return the first attempt with this key, if there was one."""
        return self._attempts.one(organization=organization, user=user, key=key)

    def put(self, attempt: Attempt) -> None:
        """Write the attempt in place of any with the same key."""
        self.drop(attempt.organization, attempt.user, attempt.key)
        self._attempts.add(attempt)

    def drop(self, organization: str, user: str, key: str) -> None:
        """Forget an attempt."""
        self._connection.execute(
            delete(idempotency_keys).where(
                idempotency_keys.c.organization == organization,
                idempotency_keys.c.user == user,
                idempotency_keys.c.key == key,
            )
        )

    def drop_before(self, organization: str, created_ms: int) -> None:
        """Forget an organization's attempts that are older."""
        self._connection.execute(
            delete(idempotency_keys).where(
                idempotency_keys.c.organization == organization,
                idempotency_keys.c.created_ms < created_ms,
            )
        )
