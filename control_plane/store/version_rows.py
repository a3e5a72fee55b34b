"""Rows of versions."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, bindparam, exists, func, select

from control_plane.domain.reviews import ReviewKind, ReviewState
from control_plane.domain.versions import RunnableVersion, Version, VersionState, VersionSummary
from control_plane.store.function_tables import reviews, versions
from control_plane.store.rows import BEHIND_ALL, Rows, chunks, find_among, listed, selecting

__all__ = ["VersionRows"]

# Every list of versions sends one of these, so they are built once.
_NEWEST: Final = (
    selecting(versions, VersionSummary)
    .where(
        versions.c.organization == bindparam("organization"),
        versions.c.function == bindparam("function"),
        versions.c.number < bindparam("before"),
    )
    .order_by(versions.c.number.desc())
    .limit(bindparam("limit", type_=BigInteger))
)
_NEWEST_IN_STATE: Final = _NEWEST.where(versions.c.state == bindparam("state"))


@cache
def _numbers(count: int) -> Select[Any]:
    own = versions.c.organization == bindparam("organization"), versions.c.id.in_(listed(count))
    return select(versions.c.id, versions.c.function, versions.c.number).where(*own)


class VersionRows:
    """Immutable freezes; only their state and first publication ever change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._versions = Rows(connection, versions, Version)

    def add(self, version: Version) -> None:
        """Insert a version."""
        self._versions.add(version)

    def update(self, version: Version) -> None:
        """Write state, its reason and first publication back, and nothing else."""
        values = {
            "state": version.state,
            "published_ms": version.published_ms,
            "reason": version.reason,
        }
        where = (versions.c.organization == version.organization, versions.c.id == version.id)
        self._connection.execute(versions.update().where(*where).values(**values))

    def get(self, organization: str, version: str) -> Version | None:
        """Return a version by id."""
        return self._versions.one(organization=organization, id=version)

    def by_number(self, organization: str, function: str, number: int) -> Version | None:
        """Return a version by its number."""
        return self._versions.one(
            organization=organization,
            function=function,
            number=number,
        )

    def by_digest(self, organization: str, function: str, digest: str) -> Version | None:
        """Return a version by its digest."""
        return self._versions.one(
            organization=organization,
            function=function,
            digest=digest,
        )

    def runnable(self, ids: Collection[str]) -> dict[str, RunnableVersion]:
        """Return what it takes to run these, over all tenants, for the reconciler alone."""
        rows = Rows(self._connection, versions, RunnableVersion)
        found = (rows.all(rows.select(versions.c.id.in_(some))) for some in chunks(ids))
        return {version.id: version for part in found for version in part}

    def releasable(self, organization: str) -> dict[str, str]:
        """Return digest -> runtime of the versions that are neither retired nor taken down."""
        states = (VersionState.FROZEN, VersionState.DEPRECATED)
        own = (versions.c.organization == organization, versions.c.state.in_(states))
        rows = self._connection.execute(select(versions.c.digest, versions.c.declaration).where(*own))
        return {row.digest: row.declaration.runtime for row in rows}

    def taken_down(self) -> dict[str, tuple[str, ...]]:
        """Return function id -> digests of what may not run, over all tenants, for the reconciler alone."""
        columns = versions.c.function, versions.c.digest
        rows = select(*columns).where(versions.c.state == VersionState.TAKEN_DOWN).order_by(*columns)
        found: dict[str, list[str]] = {}
        for row in self._connection.execute(rows):
            found.setdefault(row.function, []).append(row.digest)
        return {function: tuple(digests) for function, digests in found.items()}

    def numbers(self, organization: str, ids: Collection[str]) -> dict[str, tuple[str, int]]:
        """Return (function id, number) of those of these versions that the organization has."""
        rows = find_among(self._connection, _numbers, ids, organization=organization)
        return {version: (function, number) for version, function, number in rows}

    def list(
        self,
        organization: str,
        function: str,
        *,
        state: VersionState | None = None,
        before: int = 0,
        limit: int | None = None,
    ) -> tuple[VersionSummary, ...]:
        """Return a function's versions with numbers below `before`, newest first."""
        rows = Rows(self._connection, versions, VersionSummary)
        where: dict[str, Any] = {"organization": organization, "function": function}
        where |= {"before": before or BEHIND_ALL, "limit": limit or BEHIND_ALL}
        if state is None:
            return rows.prepared(_NEWEST, **where)
        return rows.prepared(_NEWEST_IN_STATE, **where, state=state)

    def last_published_before(self, organization: str, function: str, number: int) -> Version | None:
        """Return the newest version below a number that ever received calls."""
        statement = self._versions.select(
            versions.c.organization == organization,
            versions.c.function == function,
            versions.c.number < number,
            versions.c.published_ms > 0,
        )
        found = self._versions.all(statement.order_by(versions.c.number.desc()).limit(1))
        return found[0] if found else None

    def last_reviewed_revision(self, organization: str, function: str) -> int:
        """Return the revision that the newest reviewed and published version was frozen from, or 0."""
        statement = select(func.max(versions.c.revision)).where(
            versions.c.organization == organization, versions.c.function == function, _reviewed()
        )
        return int(self._connection.execute(statement).scalar_one() or 0)

    def last_reviewed_before(self, organization: str, function: str, number: int) -> Version | None:
        """Return the newest version below a number that received calls by a review."""
        statement = self._versions.select(
            versions.c.organization == organization,
            versions.c.function == function,
            versions.c.number < number,
            _reviewed(),
        )
        found = self._versions.all(statement.order_by(versions.c.number.desc()).limit(1))
        return found[0] if found else None

    def take_down(self, organization: str, function: str, reason: str) -> tuple[str, ...]:
        """Take down every version of a function that may run; return their ids."""
        where = (
            versions.c.organization == organization,
            versions.c.function == function,
            versions.c.state.in_((VersionState.FROZEN, VersionState.DEPRECATED)),
        )
        ids = tuple(self._connection.execute(select(versions.c.id).where(*where)).scalars())
        change = versions.update().where(*where).values(state=VersionState.TAKEN_DOWN, reason=reason)
        self._connection.execute(change)
        return ids


def _reviewed() -> ColumnElement[bool]:
    """Say of a version whether it was published by a review: what nobody saw is no ground to build on."""
    return exists().where(
        reviews.c.version == versions.c.id,
        reviews.c.digest == versions.c.digest,
        reviews.c.state == ReviewState.PUBLISHED,
        reviews.c.kind != ReviewKind.TAKEDOWN,
    )
