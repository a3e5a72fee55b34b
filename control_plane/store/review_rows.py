"""Rows of reviews, and of the test runs that speak for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, select

from control_plane.domain.reviews import Review, ReviewKind, ReviewState
from control_plane.domain.test_runs import TestRun
from control_plane.store.rows import Rows, chunks
from control_plane.store.tables import reviews, test_runs

__all__ = ["ReviewFilter", "ReviewRows"]

_OPEN = (ReviewState.SUBMITTED, ReviewState.IN_REVIEW, ReviewState.CHANGES_REQUESTED)
_ACTIVE = (*_OPEN, ReviewState.APPROVED)
_YES = (ReviewState.APPROVED, ReviewState.PUBLISHED)


@dataclass(frozen=True, slots=True)
class ReviewFilter:
    """Which reviews of the visible projects to list; empty fields narrow nothing."""

    function: str = ""
    submitter: str = ""
    kind: ReviewKind | None = None
    states: tuple[ReviewState, ...] = ()


class ReviewRows:
    """Requests for a decision."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reviews = Rows(connection, reviews, Review)

    def add(self, review: Review) -> None:
        """Insert a review."""
        self._reviews.add(review)

    def update(self, review: Review) -> None:
        """Write a review back."""
        self._reviews.update(review, "organization", "id")

    def get(self, organization: str, review: str) -> Review | None:
        """Return a review by id."""
        return self._reviews.one(organization=organization, id=review)

    def list(
        self, organization: str, projects: Collection[str], wanted: ReviewFilter, *, after: str, limit: int
    ) -> tuple[Review, ...]:
        """Return reviews of these projects before an id, newest first."""
        statement = self._reviews.select(
            reviews.c.organization == organization, reviews.c.project.in_(projects)
        )
        if wanted.function:
            statement = statement.where(reviews.c.function == wanted.function)
        if wanted.submitter:
            statement = statement.where(reviews.c.submitter == wanted.submitter)
        if wanted.kind is not None:
            statement = statement.where(reviews.c.kind == wanted.kind)
        if wanted.states:
            statement = statement.where(reviews.c.state.in_(wanted.states))
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

    def reviewed(self, organization: str, versions: Collection[str]) -> frozenset[str]:
        """Return those of these versions that a review let through."""
        found: set[str] = set()
        for some in chunks(versions):
            statement = select(reviews.c.version).where(
                reviews.c.organization == organization,
                reviews.c.version.in_(some),
                reviews.c.state.in_(_YES),
                reviews.c.kind != ReviewKind.TAKEDOWN,
            )
            found |= set(self._connection.execute(statement).scalars())
        return frozenset(found)

    def test_runs(self, organization: str, function: str, digest: str, limit: int) -> tuple[TestRun, ...]:
        """Return the newest test runs of exactly this digest."""
        rows = Rows(self._connection, test_runs, TestRun)
        statement = rows.select(
            test_runs.c.organization == organization,
            test_runs.c.function == function,
            test_runs.c.digest == digest,
        )
        return rows.all(statement.order_by(test_runs.c.id.desc()).limit(limit))
