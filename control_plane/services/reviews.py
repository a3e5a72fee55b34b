"""Reviews: submitting a version, and deciding on exactly what was seen.

What a request holds is in `review_requests`, finding them in `review_lists`,
what speaks for them in `evidence`, and what a takedown does in `takedowns`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from control_plane.domain.access import Permission
from control_plane.domain.functions import Function
from control_plane.domain.identity import Actor, Project
from control_plane.domain.review_comments import Comment, Side, add_comment, check_line, resolve_thread
from control_plane.domain.reviews import (
    Approval,
    Review,
    ReviewAction,
    ReviewKind,
    ReviewState,
    approve,
    move,
)
from control_plane.domain.versions import Version, VersionState
from control_plane.errors import Conflict, Forbidden, Invalid
from control_plane.ports import Blobs, Builder
from control_plane.services.approvals import live_epoch, measure
from control_plane.services.changes import Change, Changes, View, absent
from control_plane.services.review_requests import check_kind, make_review, outdate_others
from control_plane.services.takedowns import reinstate, take_down
from control_plane.services.versions import find_version

__all__ = ["Reviews", "find_review"]

_LONGEST_TEXT = 10_000
_EVENTS = {
    ReviewState.REJECTED: "review.rejected",
    ReviewState.WITHDRAWN: "review.withdrawn",
    ReviewState.CHANGES_REQUESTED: "review.changes_requested",
}
_NO_REMARKS = frozenset({ReviewState.WITHDRAWN, ReviewState.STALE, ReviewState.REJECTED})


class Reviews:
    """Use cases about reviews."""

    def __init__(self, changes: Changes, blobs: Blobs, builder: Builder) -> None:
        self._changes = changes
        self._blobs = blobs
        self._builder = builder

    def submit(
        self,
        actor: Actor,
        function: str,
        version: str | int,
        *,
        note: str = "",
        kind: ReviewKind = ReviewKind.PUBLISH,
    ) -> Review:
        """Ask for a decision about a version; older open reviews of the function become stale."""
        _check_text(note, "note", empty=kind is not ReviewKind.TAKEDOWN)
        with self._changes.change(actor, "review.submit", f"function/{function}") as change:
            known, project = change.function(function, Permission.REVIEW_SUBMIT)
            found = find_version(change, known, version)
            check_kind(change, found, kind)
            outdate_others(change, found, kind)
            review = make_review(change, self._builder, project, found, (kind, note))
            change.unit.reviews.add(review)
            data = {"function": known.id, "number": found.number, "digest": found.digest}
            change.happened("review.submitted", review.id, data, kind=kind, required=review.required)
        return review

    def get(self, actor: Actor, review: str) -> Review:
        """Return a review."""
        with self._changes.read(actor) as view:
            return find_review(view, review, Permission.REVIEW_READ)[0]

    def values(self, actor: Actor, review: str) -> str:
        """Return what stands for the live values now; an approval that covers values sends it back."""
        with self._changes.read(actor) as view:
            known, _ = find_review(view, review, Permission.REVIEW_READ)
            version = view.unit.versions.get(actor.organization, known.version)
            return live_epoch(view, version) if version else ""

    def comment(self, actor: Actor, review: str, remark: Comment) -> Review:
        """Add a remark: on the whole, on a line of a file, or to a thread. Author and time are set here."""
        _check_text(remark.text, "text", empty=False)
        if remark.path:
            self._check_place(actor, review, remark)
        with self._changes.change(actor, "review.comment", f"review/{review}") as change:
            known, _ = find_review(change, review, Permission.REVIEW_READ)
            if known.state in _NO_REMARKS:
                raise Conflict(f"A review that is {known.state} takes no comments.")
            made = replace(remark, id=change.new_id("comment"), user=actor.user, at_ms=change.now_ms)
            commented = replace(known, comments=add_comment(known.comments, made))
            change.unit.reviews.update(commented)
            change.happened("review.commented", known.id, {"function": known.function}, comment=made.id)
        return commented

    def resolve(self, actor: Actor, review: str, comment: str, *, resolved: bool) -> Review:
        """Mark a thread as settled, or open it again; nothing happens when it is so already."""
        with self._changes.change(actor, "review.resolve", f"review/{review}") as change:
            known, _ = find_review(change, review, Permission.REVIEW_READ)
            user = actor.user if resolved else ""
            threads = resolve_thread(known.comments, comment, user=user, now_ms=change.now_ms)
            if threads == known.comments:
                return known
            changed = replace(known, comments=threads)
            change.unit.reviews.update(changed)
            change.record(f"review/{known.id}", {"comment": comment, "resolved": resolved})
        return changed

    def approve(self, actor: Actor, review: str, *, digest: str, values: str = "") -> Review:
        """Approve exactly `digest` and, where they are named, the values; the ones that the approver saw.

        Raises PreconditionFailed for others and FourEyes for the submitter,
        the authors and anybody with their address.
        """
        with self._changes.change(actor, "review.approve", f"review/{review}") as change:
            change.refresh_rights()
            known, project = find_review(change, review, Permission.REVIEW_DECIDE)
            approver = change.unit.identity.user(actor.user)
            if approver is None or not approver.verified_by:
                raise Forbidden("Only a member whose address was vouched for can approve.")
            version = _submitted(change, known)
            known = replace(known, authors=_authors_by_now(change, known))
            approval = Approval(actor.user, approver.email, digest, change.now_ms, values)
            held = measure(change, known, project, live_epoch(change, version), actor.user)
            approved = approve(known, approval, held)
            if approved.state is ReviewState.APPROVED:
                approved = replace(approved, decided_by=actor.user, decided_ms=change.now_ms)
                approved = _carried_out(change, approved, version)
            change.unit.reviews.update(approved)
            data = {"function": known.function, "state": approved.state, "digest": digest}
            change.happened("review.approved", known.id, data, values=values)
        return approved

    def reject(self, actor: Actor, review: str, *, reason: str) -> Review:
        """Refuse the version; an approved but unpublished one too."""
        return self._say_no(actor, review, ReviewAction.REJECT, reason)

    def request_changes(self, actor: Actor, review: str, *, reason: str) -> Review:
        """Give the review back to its submitter; approvals so far count no more."""
        return self._say_no(actor, review, ReviewAction.REQUEST_CHANGES, reason)

    def resubmit(self, actor: Actor, review: str, *, note: str) -> Review:
        """Answer a request for changes without another version; every approval is asked for anew."""
        _check_text(note, "note", empty=False)
        with self._changes.change(actor, "review.resubmit", f"review/{review}") as change:
            known, _ = find_review(change, review, Permission.REVIEW_SUBMIT)
            again = move(known, ReviewAction.RESUBMIT)
            found = _submitted(change, known)
            # Whoever submits it again is involved too, and so is who did before.
            authors = {*known.authors, (known.submitter, known.submitter_email)}
            again = replace(
                again,
                note=note,
                approvals=(),
                submitter=actor.user,
                submitter_email=actor.email,
                authors=tuple(sorted(authors)),
                reason="",
                decided_by="",
                decided_ms=0,
            )
            change.unit.reviews.update(again)
            data = {"function": known.function, "digest": found.digest}
            change.happened("review.resubmitted", known.id, data)
        return again

    def withdraw(self, actor: Actor, review: str) -> Review:
        """Take one's own request back."""

        def decide(known: Review) -> Review:
            if known.submitter != actor.user:
                raise Forbidden("Only its submitter withdraws a review.", hint="A reviewer can reject it.")
            return move(known, ReviewAction.WITHDRAW)

        return self._decide(actor, review, ("review.withdraw", Permission.REVIEW_SUBMIT), decide)

    def _say_no(self, actor: Actor, review: str, action: ReviewAction, reason: str) -> Review:
        _check_text(reason, "reason", empty=False)

        def decide(known: Review) -> Review:
            moved = move(known, action)
            if action is ReviewAction.REQUEST_CHANGES:
                moved = replace(moved, approvals=())
            return replace(moved, reason=reason)

        return self._decide(actor, review, (f"review.{action}", Permission.REVIEW_DECIDE), decide)

    def _check_place(self, actor: Actor, review: str, remark: Comment) -> None:
        """Refuse a place that nobody can look at; both sides never change, so no transaction holds them."""
        with self._changes.read(actor) as view:
            known, _ = find_review(view, review, Permission.REVIEW_READ)
            sides = {Side.AFTER: known.version, Side.BEFORE: known.base}
            versions = {
                side: view.unit.versions.get(known.organization, one) for side, one in sides.items() if one
            }
        found = {
            side: file.digest
            for side, version in versions.items()
            for file in (version.files if version else ())
            if file.path == remark.path
        }
        if not found:
            raise Invalid(f"Neither side has a file “{remark.path[:200]}”.", field="path")
        if not remark.line:
            return
        if remark.side not in found:
            message = f"“{remark.path[:200]}” is not there {remark.side} the change."
            raise Invalid(message, field="side", hint="Name the other side.")
        check_line(self._blobs.get(found[remark.side]), remark.line)

    def _decide(
        self,
        actor: Actor,
        review: str,
        what: tuple[str, Permission],
        decision: Callable[[Review], Review],
    ) -> Review:
        action, permission = what
        with self._changes.change(actor, action, f"review/{review}") as change:
            known, _ = find_review(change, review, permission)
            decided = replace(decision(known), decided_by=actor.user, decided_ms=change.now_ms)
            change.unit.reviews.update(decided)
            data = {"function": known.function}
            change.happened(_EVENTS[decided.state], known.id, data, reason=decided.reason)
        return decided


def find_review(view: View, identifier: str, permission: Permission) -> tuple[Review, Project]:
    """Return the review with this id, and its project, when the actor holds the right."""
    review = view.unit.reviews.get(view.organization, identifier)
    if review is None:
        raise absent("review", identifier)
    project = view.unit.identity.project(view.organization, review.project)
    if project is None or not view.allows(Permission.REVIEW_READ, project.scope):
        raise absent("review", identifier)
    view.require(permission, project.scope)
    return review, project


def _submitted(view: View, review: Review) -> Version:
    """Return the review's version, when it still is what was submitted."""
    version = view.unit.versions.get(review.organization, review.version)
    if version is None or version.digest != review.digest or not version.intact():
        raise Conflict("The stored version is not the one that was submitted.", hint="Submit it again.")
    return version


def _carried_out(change: Change, approved: Review, version: Version) -> Review:
    """Do what a takedown or a reinstatement asks for; a publication waits for its release."""
    if approved.kind is ReviewKind.TAKEDOWN:
        known = _function(change, approved)
        take_down(change, known, approved.note, version=version)
        return move(approved, ReviewAction.PUBLISH)
    if approved.kind is ReviewKind.REINSTATE and version.state is VersionState.TAKEN_DOWN:
        reinstate(change, _function(change, approved), version)
    return approved


def _function(view: View, review: Review) -> Function:
    known = view.unit.functions.get(review.organization, review.function)
    if known is None:
        raise absent("function", review.function)
    return known


def _authors_by_now(view: View, review: Review) -> tuple[tuple[str, str], ...]:
    """Return the version's authors and everybody who edited the draft since: they too are involved."""
    since = view.unit.versions.last_reviewed_revision(view.organization, review.function)
    editors = view.unit.functions.editors_after(view.organization, review.function, since)
    return tuple(sorted({*review.authors, *editors}))


def _check_text(text: str, field: str, *, empty: bool = True) -> None:
    if len(text) > _LONGEST_TEXT or (not empty and not text.strip()):
        raise Invalid(f"This needs 1 to {_LONGEST_TEXT:,} characters.", field=field)
