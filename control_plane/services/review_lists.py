"""Finding reviews: lists, everybody's inbox, and how much waits in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor, Project
from control_plane.domain.review_policies import roles_held
from control_plane.domain.reviews import FourEyes, Review, ReviewKind, ReviewState, check_four_eyes, needs_for
from control_plane.services.changes import Changes, Page, View
from control_plane.store.review_rows import ReviewFilter

__all__ = ["Inbox", "Mine", "ReviewLists", "ReviewQuery"]

_PAGE: Final = 200
# Counts end here: nobody reads more.
_MOST: Final = 1_000
_UNDECIDED: Final = (ReviewState.SUBMITTED, ReviewState.IN_REVIEW)
_OPEN: Final = (*_UNDECIDED, ReviewState.CHANGES_REQUESTED)


class Mine(StrEnum):
    """How a review concerns whoever asks."""

    # They may approve it and have not.
    TO_DECIDE = "to_decide"
    SUBMITTED = "submitted"
    # They approved, rejected or asked for changes.
    DECIDED = "decided"


@dataclass(frozen=True, slots=True)
class ReviewQuery:
    """Which reviews to list; the defaults narrow nothing."""

    # Id or name.
    function: str = ""
    open_only: bool = False
    kind: ReviewKind | None = None
    mine: Mine | None = None


@dataclass(frozen=True, slots=True)
class Inbox:
    """How many open reviews wait for whoever asks; 1,000 stands for that or more."""

    to_decide: int
    submitted: int
    # Of the submitted ones: those whose submitter is asked to do something.
    changes_requested: int


class ReviewLists:
    """Use cases about finding reviews."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def list(
        self, actor: Actor, query: ReviewQuery | None = None, *, after: str = "", limit: int = 50
    ) -> Page[Review]:
        """Return the reviews that the actor can see, newest first."""
        asked = query or ReviewQuery()
        with self._changes.read(actor) as view:
            projects = _visible(view)
            keep = _keeper(view, projects, asked.mine)
            found: list[Review] = []
            # Where every row is shown, none is read that is not.
            page = limit + 1 if asked.mine in {None, Mine.SUBMITTED} else _PAGE
            for review in _scan(view, projects, _filter(view, asked), after, page):
                if keep(review):
                    found.append(review)
                if len(found) > limit:
                    break
        return Page(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else "")

    def reviewed(self, actor: Actor, versions: Sequence[str]) -> frozenset[str]:
        """Return those of these versions of the actor's organization that a review let through."""
        with self._changes.read(actor) as view:
            return view.unit.reviews.reviewed(actor.organization, versions)

    def inbox(self, actor: Actor) -> Inbox:
        """Count what waits for the actor."""
        with self._changes.read(actor) as view:
            projects = _visible(view)
            keep = _keeper(view, projects, Mine.TO_DECIDE)
            waiting = sum(map(keep, _first(_scan(view, projects, ReviewFilter(states=_UNDECIDED)))))
            own = ReviewFilter(states=_OPEN, submitter=actor.user)
            mine = list(_first(_scan(view, projects, own)))
        asked = sum(review.state is ReviewState.CHANGES_REQUESTED for review in mine)
        return Inbox(waiting, len(mine), asked)


def _visible(view: View) -> dict[str, Project]:
    """Return id -> project of those whose reviews the actor may read."""
    projects = view.unit.identity.projects(view.organization)
    return {one.id: one for one in projects if view.allows(Permission.REVIEW_READ, one.scope)}


def _filter(view: View, query: ReviewQuery) -> ReviewFilter:
    function = view.function(query.function, Permission.REVIEW_READ)[0].id if query.function else ""
    states: tuple[ReviewState, ...] = _OPEN if query.open_only else ()
    if query.mine is Mine.TO_DECIDE:
        states = _UNDECIDED
    submitter = view.actor.user if query.mine is Mine.SUBMITTED else ""
    return ReviewFilter(function, submitter, query.kind, states)


def _scan(
    view: View, projects: dict[str, Project], wanted: ReviewFilter, after: str = "", page: int = _PAGE
) -> Iterator[Review]:
    """Yield reviews newest first, a page at a time."""
    while True:
        rows = view.unit.reviews.list(view.organization, projects, wanted, after=after, limit=page)
        yield from rows
        if len(rows) < page:
            return
        after = rows[-1].id


def _first(reviews: Iterator[Review]) -> Iterator[Review]:
    return (review for review, _ in zip(reviews, range(_MOST), strict=False))


def _keeper(view: View, projects: dict[str, Project], mine: Mine | None) -> Callable[[Review], bool]:
    """Return what decides whether a review is one of these to the actor."""
    actor = view.actor
    if mine is Mine.DECIDED:
        return lambda review: _decided_by(review, actor.user)
    if mine is Mine.TO_DECIDE:
        return lambda review: _waits_for(view, review, projects[review.project])
    return lambda _: True


def _decided_by(review: Review, user: str) -> bool:
    withdrew = review.state is ReviewState.WITHDRAWN
    approved = any(approval.user == user for approval in review.approvals)
    return approved or (review.decided_by == user and not withdrew)


def _waits_for(view: View, review: Review, project: Project) -> bool:
    actor = view.actor
    if not view.allows(Permission.REVIEW_DECIDE, project.scope):
        return False
    if any(approval.user == actor.user for approval in review.approvals):
        return False
    try:
        check_four_eyes(review, actor.user, actor.email)
    except FourEyes:
        return False
    return needs_for(review, project.policy).counts(roles_held(actor.bindings, project.scope))
