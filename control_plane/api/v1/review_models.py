"""What reviews look like on the wire, and how one is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field

from control_plane.api.paging import PageQuery
from control_plane.api.schemas import Input, Number, OptionalTime, Output, Time
from control_plane.api.state import services
from control_plane.domain.identity import Actor
from control_plane.domain.review_comments import Side
from control_plane.domain.reviews import Review, ReviewKind
from control_plane.services.review_lists import Mine

__all__ = [
    "ApprovalIn",
    "CommentIn",
    "InboxOut",
    "NoteIn",
    "ReasonIn",
    "ReviewDetailOut",
    "ReviewIn",
    "ReviewOut",
    "ReviewQueryIn",
    "shown",
    "shown_all",
]

_Text = Annotated[str, Field(min_length=1, max_length=10_000)]


class ReviewIn(Input):
    """A version to ask about. A takedown needs a note that says why."""

    version: Number
    kind: ReviewKind = ReviewKind.PUBLISH
    note: Annotated[str, Field(max_length=10_000)] = ""


class ReviewQueryIn(PageQuery):
    """Which reviews to list."""

    state: Literal["open", "all"] = "all"
    function: Annotated[str | None, Field(max_length=80, description="Id or name.")] = None
    kind: ReviewKind | None = None
    mine: Annotated[Mine | None, Field(description="How it concerns the caller.")] = None


class ApprovalIn(Input):
    """What was seen, and is approved."""

    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    values: Annotated[
        str, Field(max_length=80, description="The review's `values`; needed where the policy covers values.")
    ] = ""


class ReasonIn(Input):
    """Why not, or not yet."""

    reason: _Text


class NoteIn(Input):
    """The submitter's answer."""

    note: _Text


class CommentIn(Input):
    """A remark: on the whole, on a line of a file, or in a thread."""

    text: _Text
    path: Annotated[str, Field(max_length=300)] = ""
    line: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    side: Side = Side.AFTER
    thread: Annotated[str, Field(max_length=80, description="Id of the remark that began it.")] = ""


class ApprovalOut(Output):
    """One person's yes to one digest."""

    user: str
    email: str
    digest: str
    values: Annotated[str, Field(validation_alias="epoch")]
    at: Annotated[Time, Field(validation_alias="at_ms")]


class CommentOut(Output):
    """A remark. `thread` is empty where it begins one."""

    id: str
    user: str
    email: str
    text: str
    path: str
    line: int
    side: str
    thread: str
    resolved_by: str
    resolved_at: Annotated[OptionalTime, Field(validation_alias="resolved_ms")]
    at: Annotated[Time, Field(validation_alias="at_ms")]


class ReviewOut(Output):
    """A review. `required` is what the policy came to when it was submitted."""

    id: str
    kind: str
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
    risks: list[str]
    note: str
    approvals: list[ApprovalOut]
    comments: list[CommentOut]
    decided_by: str
    decided_at: OptionalTime
    reason: str
    created_at: Time


class ReviewDetailOut(ReviewOut):
    """A review with what stands for the live values now; empty while one is missing."""

    values: str


class InboxOut(Output):
    """How many open reviews wait for the caller; 1,000 stands for that or more."""

    to_decide: int
    submitted: int
    changes_requested: int


def shown(actor: Actor, review: Review) -> dict[str, Any]:
    """Return one review as its model reads it."""
    return shown_all(actor, (review,))[0]


def shown_all(actor: Actor, reviews: Iterable[Review]) -> list[dict[str, Any]]:
    """Return reviews as their model reads them; the functions are looked up together."""
    reviews = tuple(reviews)
    writers = {remark.user for review in reviews for remark in review.comments}
    emails = services().access.emails(actor, writers)
    names = services().functions.names(actor, {review.function for review in reviews})
    return [
        {**_row(review, names.get(review.function, "")), "comments": _remarks(review, emails)}
        for review in reviews
    ]


def _remarks(review: Review, emails: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{**asdict(remark), "email": emails.get(remark.user, "")} for remark in review.comments]


def _row(review: Review, function_name: str) -> dict[str, Any]:
    return {
        "id": review.id,
        "kind": review.kind,
        "project": review.project,
        "function": review.function,
        "function_name": function_name,
        "version_number": review.number,
        "digest": review.digest,
        "state": review.state,
        "submitter": review.submitter,
        "submitter_email": review.submitter_email,
        "authors": list(review.authors),
        "required": review.required,
        "risks": list(review.risks),
        "note": review.note,
        "approvals": list(review.approvals),
        "decided_by": review.decided_by,
        "decided_at": review.decided_ms,
        "reason": review.reason,
        "created_at": review.created_ms,
    }
