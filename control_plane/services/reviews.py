"""Reviews: submitting a version, deciding on exactly what was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor, Project
from control_plane.domain.reviews import (
    Approval,
    Comment,
    Review,
    ReviewAction,
    ReviewState,
    approve,
    comment,
    move,
)
from control_plane.domain.versions import VersionState
from control_plane.errors import Conflict, Forbidden, Invalid
from control_plane.services.changes import Change, Changes, Page, View, absent
from control_plane.services.versions import find_version

__all__ = ["Reviews"]

_LONGEST_TEXT = 10_000


class Reviews:
    """Use cases about reviews."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def submit(self, actor: Actor, function: str, version: str | int, *, note: str = "") -> Review:
        """Ask for a version to be published; older open reviews of the function become stale."""
        _check_text(note, "note")
        with self._changes.change(actor, "review.submit", f"function/{function}") as change:
            known, project = change.function(function, Permission.REVIEW_SUBMIT)
            found = find_version(change, known, version)
            if found.state is VersionState.RETIRED:
                raise Conflict(f"Version {found.number} is retired.", hint="Freeze a new version.")
            self._outdate(change, known.id, found.id, found.number)
            review = Review(
                id=change.new_id("review"),
                organization=actor.organization,
                project=project.id,
                function=known.id,
                version=found.id,
                number=found.number,
                digest=found.digest,
                state=ReviewState.SUBMITTED,
                submitter=actor.user,
                submitter_email=actor.email,
                authors=found.authors,
                required=project.policy.approvals,
                note=note,
                created_ms=change.now_ms,
            )
            change.unit.reviews.add(review)
            data = {"function": known.id, "number": found.number, "digest": found.digest}
            change.happened("review.submitted", review.id, data)
        return review

    def get(self, actor: Actor, review: str) -> Review:
        """Return a review."""
        with self._changes.read(actor) as view:
            return _find(view, review, Permission.REVIEW_READ)[0]

    def list(
        self, actor: Actor, *, function: str = "", open_only: bool = False, after: str = "", limit: int = 50
    ) -> Page[Review]:
        """Return the reviews that the actor can see, newest first."""
        with self._changes.read(actor) as view:
            named = view.function(function, Permission.REVIEW_READ)[0].id if function else ""
            projects = view.unit.identity.projects(actor.organization)
            visible = tuple(one.id for one in projects if view.allows(Permission.REVIEW_READ, one.scope))
            rows = view.unit.reviews.list(
                actor.organization, visible, function=named, open_only=open_only, after=after, limit=limit + 1
            )
        return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else "")

    def comment(self, actor: Actor, review: str, *, text: str, path: str = "", line: int = 0) -> Review:
        """Add a remark, on the whole or on a line of a file."""
        _check_text(text, "text", empty=False)
        with self._changes.change(actor, "review.comment", f"review/{review}") as change:
            known, _ = _find(change, review, Permission.REVIEW_READ)
            remark = Comment(actor.user, change.now_ms, text, path[:300], max(0, line))
            commented = comment(known, remark)
            change.unit.reviews.update(commented)
            change.happened("review.commented", known.id, {"function": known.function})
        return commented

    def approve(self, actor: Actor, review: str, *, digest: str) -> Review:
        """Approve exactly `digest`, the one that the approver saw.

        Raises PreconditionFailed for another digest and FourEyes for the
        submitter, the authors and anybody with their address.
        """
        with self._changes.change(actor, "review.approve", f"review/{review}") as change:
            known, project = _find(change, review, Permission.REVIEW_DECIDE)
            approver = change.unit.identity.user(actor.user)
            if approver is None or not approver.verified_by:
                raise Forbidden("Only a member whose address was vouched for can approve.")
            version = change.unit.versions.get(actor.organization, known.version)
            if version is None or version.digest != known.digest or not version.intact():
                raise Conflict(
                    "The stored version is not the one that was submitted.", hint="Submit it again."
                )
            known = replace(known, authors=_authors_by_now(change, known))
            approval = Approval(actor.user, approver.email, digest, change.now_ms)
            approved = approve(known, approval, project.policy)
            if approved.state is ReviewState.APPROVED:
                approved = replace(approved, decided_by=actor.user, decided_ms=change.now_ms)
            change.unit.reviews.update(approved)
            data = {"function": known.function, "state": approved.state, "digest": digest}
            change.happened("review.approved", known.id, data)
        return approved

    def reject(self, actor: Actor, review: str, *, reason: str) -> Review:
        """Refuse the version; an approved but unpublished one too."""
        _check_text(reason, "reason", empty=False)

        def decide(change: Change, known: Review) -> Review:
            moved = move(known, ReviewAction.REJECT)
            return replace(moved, decided_by=actor.user, decided_ms=change.now_ms, reason=reason)

        return self._decide(actor, review, "review.reject", Permission.REVIEW_DECIDE, decide)

    def withdraw(self, actor: Actor, review: str) -> Review:
        """Take one's own request back."""

        def decide(change: Change, known: Review) -> Review:
            if known.submitter != actor.user:
                raise Forbidden("Only its submitter withdraws a review.", hint="A reviewer can reject it.")
            return replace(
                move(known, ReviewAction.WITHDRAW), decided_by=actor.user, decided_ms=change.now_ms
            )

        return self._decide(actor, review, "review.withdraw", Permission.REVIEW_SUBMIT, decide)

    def _decide(
        self,
        actor: Actor,
        review: str,
        action: str,
        permission: Permission,
        decision: Callable[[Change, Review], Review],
    ) -> Review:
        with self._changes.change(actor, action, f"review/{review}") as change:
            known, _ = _find(change, review, permission)
            decided = decision(change, known)
            change.unit.reviews.update(decided)
            event = "review.rejected" if decided.state is ReviewState.REJECTED else "review.withdrawn"
            change.happened(event, known.id, {"function": known.function}, reason=decided.reason)
        return decided

    def _outdate(self, change: Change, function: str, version: str, number: int) -> None:
        for older in change.unit.reviews.active_of(change.organization, function):
            if older.version == version:
                raise Conflict(
                    f"Version {number} is under review already.",
                    hint=f"See {older.id}, or withdraw it first.",
                )
            if older.open:
                change.unit.reviews.update(move(older, ReviewAction.OUTDATE))
                change.happened("review.outdated", older.id, {"function": function}, by=number)


def _authors_by_now(view: View, review: Review) -> tuple[tuple[str, str], ...]:
    """Return the version's authors and everybody who edited the draft since: they too are involved."""
    since = view.unit.versions.last_published_revision(view.organization, review.function)
    edits = view.unit.functions.edits_after(view.organization, review.function, since)
    return tuple(sorted({*review.authors, *((edit.user, edit.email) for edit in edits)}))


def _find(view: View, identifier: str, permission: Permission) -> tuple[Review, Project]:
    review = view.unit.reviews.get(view.organization, identifier)
    if review is None:
        raise absent("review", identifier)
    project = view.unit.identity.project(view.organization, review.project)
    if project is None or not view.allows(Permission.REVIEW_READ, project.scope):
        raise absent("review", identifier)
    view.require(permission, project.scope)
    return review, project


def _check_text(text: str, field: str, *, empty: bool = True) -> None:
    if len(text) > _LONGEST_TEXT or (not empty and not text.strip()):
        raise Invalid(f"This needs 1 to {_LONGEST_TEXT:,} characters.", field=field)
