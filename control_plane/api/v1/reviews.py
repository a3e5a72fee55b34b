"""Reviews: submit a version, look at it, decide on exactly what was seen."""

from __future__ import annotations

from typing import Any

from flask import Response

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, list_position, page_response
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.api.v1.review_models import (
    ApprovalIn,
    CommentIn,
    InboxOut,
    NoteIn,
    ReasonIn,
    ReviewDetailOut,
    ReviewIn,
    ReviewOut,
    ReviewQueryIn,
    shown,
    shown_all,
)
from control_plane.api.v1.versions import DiffOut
from control_plane.domain.access import Permission
from control_plane.domain.review_comments import Comment
from control_plane.domain.versions import Diff
from control_plane.services.review_lists import Inbox, ReviewQuery

blueprint = make_blueprint("reviews")


@blueprint.post("/functions/<function>/reviews")
@requires(Permission.REVIEW_SUBMIT, Place.FUNCTION)
@idempotent
@blueprint.input(ReviewIn)
@blueprint.output(ReviewOut, 201)
def submit_version(function: str, json_data: ReviewIn) -> dict[str, Any]:
    """Ask for a version to be published, changed in its values, taken down or reinstated."""
    actor = current_actor()
    made = services().reviews.submit(
        actor, function, json_data.version, note=json_data.note, kind=json_data.kind
    )
    return shown(actor, made)


@blueprint.get("/reviews")
@requires(Permission.REVIEW_READ, Place.ANYWHERE)
@blueprint.input(ReviewQueryIn, location="query")
@blueprint.output(Page[ReviewOut])
def list_reviews(query_data: ReviewQueryIn) -> Response:
    """List the reviews that one can see, newest first; `mine` makes it an inbox."""
    actor = current_actor()
    query = ReviewQuery(
        function=query_data.function or "",
        open_only=query_data.state == "open",
        kind=query_data.kind,
        mine=query_data.mine,
    )
    after = list_position(query_data) or ""
    page = services().review_lists.list(actor, query, after=after, limit=query_data.limit)
    return page_response(ReviewOut, shown_all(actor, page.items), query_data, page.next or None)


@blueprint.get("/reviews/counts")
@requires(Permission.REVIEW_READ, Place.ANYWHERE)
@blueprint.output(InboxOut)
def count_reviews() -> Inbox:
    """Count the open reviews that wait for the caller."""
    return services().review_lists.inbox(current_actor())


@blueprint.get("/reviews/<review>")
@requires(Permission.REVIEW_READ, Place.REVIEW)
@blueprint.output(ReviewDetailOut)
def get_review(review: str) -> dict[str, Any]:
    """Show a review; its digest, and where the policy asks its values, are what an approval must name."""
    actor = current_actor()
    known = services().reviews
    return {**shown(actor, known.get(actor, review)), "values": known.values(actor, review)}


@blueprint.get("/reviews/<review>/diff")
@requires(Permission.REVIEW_READ, Place.REVIEW)
@blueprint.output(DiffOut)
def diff_review(review: str) -> Diff:
    """Show what the version changes against the last reviewed one."""
    return services().evidence.diff(current_actor(), review)


@blueprint.post("/reviews/<review>/approve")
@requires(Permission.REVIEW_DECIDE, Place.REVIEW)
@blueprint.input(ApprovalIn)
@blueprint.output(ReviewOut)
def approve_review(review: str, json_data: ApprovalIn) -> dict[str, Any]:
    """Approve exactly the digest, and the values if any are named, that were seen."""
    actor = current_actor()
    approved = services().reviews.approve(actor, review, digest=json_data.digest, values=json_data.values)
    return shown(actor, approved)


@blueprint.post("/reviews/<review>/reject")
@requires(Permission.REVIEW_DECIDE, Place.REVIEW)
@blueprint.input(ReasonIn)
@blueprint.output(ReviewOut)
def reject_review(review: str, json_data: ReasonIn) -> dict[str, Any]:
    """Refuse it."""
    actor = current_actor()
    return shown(actor, services().reviews.reject(actor, review, reason=json_data.reason))


@blueprint.post("/reviews/<review>/request-changes")
@requires(Permission.REVIEW_DECIDE, Place.REVIEW)
@blueprint.input(ReasonIn)
@blueprint.output(ReviewOut)
def request_changes(review: str, json_data: ReasonIn) -> dict[str, Any]:
    """Give it back to its submitter; approvals so far count no more."""
    actor = current_actor()
    return shown(actor, services().reviews.request_changes(actor, review, reason=json_data.reason))


@blueprint.post("/reviews/<review>/resubmit")
@requires(Permission.REVIEW_SUBMIT, Place.REVIEW)
@blueprint.input(NoteIn)
@blueprint.output(ReviewOut)
def resubmit_review(review: str, json_data: NoteIn) -> dict[str, Any]:
    """Answer a request for changes with the same version; another version is submitted anew."""
    actor = current_actor()
    return shown(actor, services().reviews.resubmit(actor, review, note=json_data.note))


@blueprint.post("/reviews/<review>/withdraw")
@requires(Permission.REVIEW_SUBMIT, Place.REVIEW)
@blueprint.output(ReviewOut)
def withdraw_review(review: str) -> dict[str, Any]:
    """Take one's own request back."""
    actor = current_actor()
    return shown(actor, services().reviews.withdraw(actor, review))


@blueprint.post("/reviews/<review>/comments")
@requires(Permission.REVIEW_READ, Place.REVIEW)
@idempotent
@blueprint.input(CommentIn)
@blueprint.output(ReviewOut, 201)
def comment_review(review: str, json_data: CommentIn) -> dict[str, Any]:
    """Remark on the whole, on one line of one side, or in a thread."""
    actor = current_actor()
    remark = Comment(
        user=actor.user,
        at_ms=0,
        text=json_data.text,
        path=json_data.path,
        line=json_data.line,
        side=json_data.side,
        thread=json_data.thread,
    )
    return shown(actor, services().reviews.comment(actor, review, remark))


@blueprint.post("/reviews/<review>/comments/<comment>/resolve")
@requires(Permission.REVIEW_READ, Place.REVIEW)
@blueprint.output(ReviewOut)
def resolve_comment(review: str, comment: str) -> dict[str, Any]:
    """Mark a thread as settled."""
    actor = current_actor()
    return shown(actor, services().reviews.resolve(actor, review, comment, resolved=True))


@blueprint.post("/reviews/<review>/comments/<comment>/reopen")
@requires(Permission.REVIEW_READ, Place.REVIEW)
@blueprint.output(ReviewOut)
def reopen_comment(review: str, comment: str) -> dict[str, Any]:
    """Open a settled thread again."""
    actor = current_actor()
    return shown(actor, services().reviews.resolve(actor, review, comment, resolved=False))
