"""Reviews: submit a version, look at it, decide on exactly what was seen."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Input, OptionalTime, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.api.v1.versions import DiffOut
from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor
from control_plane.domain.reviews import Review
from control_plane.domain.versions import Diff

blueprint = make_blueprint("reviews")


class ReviewIn(Input):
    """A version to ask about."""

    version: Annotated[int, Field(ge=1)]
    note: Annotated[str, Field(max_length=10_000)] = ""


class ReviewQuery(PageQuery):
    """Which reviews to list."""

    state: Literal["open", "all"] = "all"
    function: Annotated[str | None, Field(max_length=80, description="Id or name.")] = None


class ApprovalIn(Input):
    """What was seen, and is approved."""

    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class RejectionIn(Input):
    """Why it is refused."""

    reason: Annotated[str, Field(min_length=1, max_length=10_000)]


class CommentIn(Input):
    """A remark, on the whole or on a line of a file."""

    text: Annotated[str, Field(min_length=1, max_length=10_000)]
    path: Annotated[str, Field(max_length=300)] = ""
    line: Annotated[int, Field(ge=0)] = 0


class ApprovalOut(Output):
    """One person's yes to one digest."""

    user: str
    email: str
    digest: str
    at: Annotated[Time, Field(validation_alias="at_ms")]


class CommentOut(Output):
    """A remark."""

    user: str
    text: str
    path: str
    line: int
    at: Annotated[Time, Field(validation_alias="at_ms")]


class ReviewOut(Output):
    """A review."""

    id: str
    project: str
    function: str
    function_name: str
    version_number: int
    digest: str
    state: str
    submitter: str
    submitter_email: str
    authors: list[tuple[str, str]]
    required: int
    note: str
    approvals: list[ApprovalOut]
    comments: list[CommentOut]
    decided_by: str
    decided_at: OptionalTime
    reason: str
    created_at: Time


@blueprint.post("/functions/<function>/reviews")
@requires(Permission.REVIEW_SUBMIT, Place.FUNCTION)
@idempotent
@blueprint.input(ReviewIn)
@blueprint.output(ReviewOut, 201)
def submit_version(function: str, json_data: ReviewIn) -> dict[str, Any]:
    """Ask for a version to be published."""
    actor = current_actor()
    made = services().reviews.submit(actor, function, json_data.version, note=json_data.note)
    return _shown(actor, made)


@blueprint.get("/reviews")
@requires(Permission.REVIEW_READ, Place.ANYWHERE)
@blueprint.input(ReviewQuery, location="query")
@blueprint.output(Page[ReviewOut])
def list_reviews(query_data: ReviewQuery) -> Response:
    """List the reviews that one can see, newest first."""
    actor = current_actor()
    page = services().reviews.list(
        actor,
        function=query_data.function or "",
        open_only=query_data.state == "open",
        after=list_position(query_data) or "",
        limit=query_data.limit,
    )
    rows = [_shown(actor, review) for review in page.items]
    return page_response(ReviewOut, rows, query_data, page.next or None)


@blueprint.get("/reviews/<review>")
@requires(Permission.REVIEW_READ, Place.REVIEW)
@blueprint.output(ReviewOut)
def get_review(review: str) -> dict[str, Any]:
    """Show a review; its digest is what an approval must name."""
    actor = current_actor()
    return _shown(actor, services().reviews.get(actor, review))


@blueprint.get("/reviews/<review>/diff")
@requires(Permission.REVIEW_READ, Place.REVIEW)
@blueprint.output(DiffOut)
def diff_review(review: str) -> Diff:
    """Show what the version changes against the last published one."""
    actor = current_actor()
    found = services().reviews.get(actor, review)
    return services().versions.diff(actor, found.function, found.number)


@blueprint.post("/reviews/<review>/approve")
@requires(Permission.REVIEW_DECIDE, Place.REVIEW)
@blueprint.input(ApprovalIn)
@blueprint.output(ReviewOut)
def approve_review(review: str, json_data: ApprovalIn) -> dict[str, Any]:
    """Approve exactly the digest that was seen."""
    actor = current_actor()
    return _shown(actor, services().reviews.approve(actor, review, digest=json_data.digest))


@blueprint.post("/reviews/<review>/reject")
@requires(Permission.REVIEW_DECIDE, Place.REVIEW)
@blueprint.input(RejectionIn)
@blueprint.output(ReviewOut)
def reject_review(review: str, json_data: RejectionIn) -> dict[str, Any]:
    """Refuse the version."""
    actor = current_actor()
    return _shown(actor, services().reviews.reject(actor, review, reason=json_data.reason))


@blueprint.post("/reviews/<review>/withdraw")
@requires(Permission.REVIEW_SUBMIT, Place.REVIEW)
@blueprint.output(ReviewOut)
def withdraw_review(review: str) -> dict[str, Any]:
    """Take one's own request back."""
    actor = current_actor()
    return _shown(actor, services().reviews.withdraw(actor, review))


@blueprint.post("/reviews/<review>/comments")
@requires(Permission.REVIEW_READ, Place.REVIEW)
@idempotent
@blueprint.input(CommentIn)
@blueprint.output(ReviewOut, 201)
def comment_review(review: str, json_data: CommentIn) -> dict[str, Any]:
    """Remark on the whole or on one line."""
    actor = current_actor()
    found = services().reviews.comment(
        actor, review, text=json_data.text, path=json_data.path, line=json_data.line
    )
    return _shown(actor, found)


def _shown(actor: Actor, review: Review) -> dict[str, Any]:
    return {
        "id": review.id,
        "project": review.project,
        "function": review.function,
        "function_name": services().functions.get(actor, review.function).name,
        "version_number": review.number,
        "digest": review.digest,
        "state": review.state,
        "submitter": review.submitter,
        "submitter_email": review.submitter_email,
        "authors": list(review.authors),
        "required": review.required,
        "note": review.note,
        "approvals": list(review.approvals),
        "comments": list(review.comments),
        "decided_by": review.decided_by,
        "decided_at": review.decided_ms,
        "reason": review.reason,
        "created_at": review.created_ms,
    }
