"""Rows of reviews, and of the test runs that speak for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, bindparam, select

from control_plane.domain.reviews import Review, ReviewKind, ReviewState
from control_plane.domain.test_runs import TestRun
from control_plane.store.function_tables import reviews, test_runs
from control_plane.store.rows import Rows, filled, find_among, listed, selecting

__all__ = ["ReviewFilter", "ReviewRows"]

_OPEN = (ReviewState.SUBMITTED, ReviewState.IN_REVIEW, ReviewState.CHANGES_REQUESTED)
_ACTIVE = (*_OPEN, ReviewState.APPROVED)
_YES = (ReviewState.APPROVED, ReviewState.PUBLISHED)


# Statements that are often asked, each built once.
@cache
def _listing(
    count: int, equal: tuple[str, ...], states: tuple[ReviewState, ...], *, behind: bool
) -> Select[Any]:
    found = selecting(reviews, Review).where(
        reviews.c.organization == bindparam("organization"),
        reviews.c.project.in_(listed(count)),
        *(reviews.c[name] == bindparam(name) for name in equal),
    )
    if states:
        found = found.where(_in(states))
    if behind:
        found = found.where(reviews.c.id < bindparam("before"))
    return found.order_by(reviews.c.id.desc()).limit(bindparam("limit", type_=BigInteger))


@cache
def _reviewed(count: int) -> Select[Any]:
    return select(reviews.c.version).where(
        reviews.c.organization == bindparam("organization"),
        reviews.c.version.in_(listed(count)),
        _in(_YES),
        reviews.c.kind != ReviewKind.TAKEDOWN,
    )


def _in(states: Collection[ReviewState]) -> ColumnElement[bool]:
    # As parameters of their own: a list of values would make the text depend on them.
    return reviews.c.state.in_([bindparam(None, state, type_=reviews.c.state.type) for state in states])


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
        if not projects:
            return ()
        count, ids = filled(projects)
        named = {"function": wanted.function, "submitter": wanted.submitter, "kind": wanted.kind}
        equal = {name: value for name, value in named.items() if value}
        statement = _listing(count, tuple(equal), wanted.states, behind=bool(after))
        where = {"organization": organization, "before": after, "limit": limit}
        return self._reviews.prepared(statement, **ids, **equal, **where)

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
        rows = find_among(self._connection, _reviewed, versions, organization=organization)
        return frozenset(row[0] for row in rows)

    def test_runs(self, organization: str, function: str, digest: str, limit: int) -> tuple[TestRun, ...]:
        """Return the newest test runs of exactly this digest."""
        rows = Rows(self._connection, test_runs, TestRun)
        statement = rows.select(
            test_runs.c.organization == organization,
            test_runs.c.function == function,
            test_runs.c.digest == digest,
        )
        return rows.all(statement.order_by(test_runs.c.id.desc()).limit(limit))
