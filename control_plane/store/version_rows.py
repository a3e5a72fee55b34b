"""Rows of versions and of the reviews about them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from control_plane.domain.reviews import Review, ReviewState
from control_plane.domain.versions import RunnableVersion, Version
from control_plane.store.rows import Rows, chunks
from control_plane.store.tables import reviews, versions

__all__ = ["ReviewRows", "VersionRows"]

_ACTIVE = (ReviewState.SUBMITTED, ReviewState.IN_REVIEW, ReviewState.APPROVED)


class VersionRows:
    """Immutable freezes; only their state and first publication ever change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._versions = Rows(connection, versions, Version)

    def add(self, version: Version) -> None:
        """Insert a version."""
        self._versions.add(version)

    def update(self, version: Version) -> None:
        """Write state and first publication back, and nothing else."""
        values = {"state": version.state, "published_ms": version.published_ms}
        where = (versions.c.organization == version.organization, versions.c.id == version.id)
        self._connection.execute(versions.update().where(*where).values(**values))

    def get(self, organization: str, version: str) -> Version | None:
        """Return a version by id."""
        return self._versions.one(versions.c.organization == organization, versions.c.id == version)

    def by_number(self, organization: str, function: str, number: int) -> Version | None:
        """Return a version by its number."""
        return self._versions.one(
            versions.c.organization == organization,
            versions.c.function == function,
            versions.c.number == number,
        )

    def by_digest(self, organization: str, function: str, digest: str) -> Version | None:
        """Return a version by its digest."""
        return self._versions.one(
            versions.c.organization == organization,
            versions.c.function == function,
            versions.c.digest == digest,
        )

    def runnable(self, ids: Collection[str]) -> dict[str, RunnableVersion]:
        """Return what it takes to run these, over all tenants, for the reconciler alone."""
        rows = Rows(self._connection, versions, RunnableVersion)
        found = (rows.all(rows.select(versions.c.id.in_(some))) for some in chunks(ids))
        return {version.id: version for part in found for version in part}

    def list(self, organization: str, function: str) -> tuple[Version, ...]:
        """Return a function's versions, newest first."""
        statement = self._versions.select(
            versions.c.organization == organization, versions.c.function == function
        )
        return self._versions.all(statement.order_by(versions.c.number.desc()))

    def last_published_revision(self, organization: str, function: str) -> int:
        """Return the draft's revision that the newest published version was frozen from, or 0."""
        statement = self._versions.select(
            versions.c.organization == organization,
            versions.c.function == function,
            versions.c.published_ms > 0,
        )
        found = self._versions.all(statement.order_by(versions.c.revision.desc()).limit(1))
        return found[0].revision if found else 0


class ReviewRows:
    """Requests to publish."""

    def __init__(self, connection: Connection) -> None:
        self._reviews = Rows(connection, reviews, Review)

    def add(self, review: Review) -> None:
        """Insert a review."""
        self._reviews.add(review)

    def update(self, review: Review) -> None:
        """Write a review back."""
        self._reviews.update(review, "organization", "id")

    def get(self, organization: str, review: str) -> Review | None:
        """Return a review by id."""
        return self._reviews.one(reviews.c.organization == organization, reviews.c.id == review)

    def list(
        self,
        organization: str,
        projects: Collection[str],
        *,
        function: str,
        open_only: bool,
        after: str,
        limit: int,
    ) -> tuple[Review, ...]:
        """Return reviews of these projects before an id, newest first."""
        statement = self._reviews.select(
            reviews.c.organization == organization, reviews.c.project.in_(projects)
        )
        if function:
            statement = statement.where(reviews.c.function == function)
        if open_only:
            statement = statement.where(reviews.c.state.in_(_ACTIVE[:2]))
        if after:
            statement = statement.where(reviews.c.id < after)
        return self._reviews.all(statement.order_by(reviews.c.id.desc()).limit(limit))

    def active_of(self, organization: str, function: str) -> tuple[Review, ...]:
        """Return a function's reviews that are open or approved."""
        statement = self._reviews.select(
            reviews.c.organization == organization,
            reviews.c.function == function,
            reviews.c.state.in_(_ACTIVE),
        )
        return self._reviews.all(statement.order_by(reviews.c.id))

    def of_version(self, organization: str, version: str) -> tuple[Review, ...]:
        """Return a version's reviews, newest first."""
        statement = self._reviews.select(reviews.c.organization == organization, reviews.c.version == version)
        return self._reviews.all(statement.order_by(reviews.c.id.desc()))
