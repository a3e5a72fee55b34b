"""Reviews: an explicit state machine, four eyes, and approvals bound to a digest.

A review belongs to one version, so its digest never changes; an approval
repeats the digest that its author saw, and only approvals of exactly the
version's digest ever count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from control_plane.domain.identity import ReviewPolicy
from control_plane.errors import Conflict, Forbidden, PreconditionFailed

__all__ = [
    "TRANSITIONS",
    "Approval",
    "Comment",
    "FourEyes",
    "Review",
    "ReviewAction",
    "ReviewState",
    "approve",
    "check_four_eyes",
    "comment",
    "move",
    "valid_approvals",
]

_DAY_MS: Final = 86_400_000


class ReviewState(StrEnum):
    """Where a review stands."""

    SUBMITTED = "submitted"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    # A newer version of the function was submitted.
    STALE = "stale"
    PUBLISHED = "published"


class ReviewAction(StrEnum):
    """What happens to a review."""

    APPROVE = "approve"
    # The last approval that the policy asks for.
    COMPLETE = "complete"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    OUTDATE = "outdate"
    PUBLISH = "publish"


_S, _A = ReviewState, ReviewAction
# Everything that is not in this table is refused.
TRANSITIONS: Final[Mapping[tuple[ReviewState, ReviewAction], ReviewState]] = {
    (_S.SUBMITTED, _A.APPROVE): _S.IN_REVIEW,
    (_S.SUBMITTED, _A.COMPLETE): _S.APPROVED,
    (_S.SUBMITTED, _A.REJECT): _S.REJECTED,
    (_S.SUBMITTED, _A.WITHDRAW): _S.WITHDRAWN,
    (_S.SUBMITTED, _A.OUTDATE): _S.STALE,
    (_S.IN_REVIEW, _A.APPROVE): _S.IN_REVIEW,
    (_S.IN_REVIEW, _A.COMPLETE): _S.APPROVED,
    (_S.IN_REVIEW, _A.REJECT): _S.REJECTED,
    (_S.IN_REVIEW, _A.WITHDRAW): _S.WITHDRAWN,
    (_S.IN_REVIEW, _A.OUTDATE): _S.STALE,
    (_S.APPROVED, _A.REJECT): _S.REJECTED,
    (_S.APPROVED, _A.WITHDRAW): _S.WITHDRAWN,
    # One more approval where the first expired or the project now asks for more.
    (_S.APPROVED, _A.APPROVE): _S.IN_REVIEW,
    (_S.APPROVED, _A.COMPLETE): _S.APPROVED,
    (_S.APPROVED, _A.PUBLISH): _S.PUBLISHED,
}


class FourEyes(Forbidden):
    """Somebody tried to approve their own work."""

    code = "four_eyes"


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes to exactly one digest."""

    user: str
    email: str
    digest: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Comment:
    """A remark, on the whole or on one line of one file."""

    user: str
    at_ms: int
    text: str
    path: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Review:
    """The request to publish one version."""

    id: str
    organization: str
    project: str
    function: str
    version: str
    number: int
    digest: str
    state: ReviewState
    submitter: str
    submitter_email: str
    # (user id, e-mail) of the version's authors since the last published version.
    authors: tuple[tuple[str, str], ...]
    # Approvals that the project asked for when it was submitted.
    required: int
    note: str
    created_ms: int
    approvals: tuple[Approval, ...] = ()
    comments: tuple[Comment, ...] = ()
    decided_by: str = ""
    decided_ms: int = 0
    reason: str = ""

    @property
    def open(self) -> bool:
        """Say whether it can still be decided."""
        return self.state in {ReviewState.SUBMITTED, ReviewState.IN_REVIEW}


def move(review: Review, action: ReviewAction) -> Review:
    """Return the review after the action. Raises Conflict when the table has no such step."""
    state = TRANSITIONS.get((review.state, action))
    if state is None:
        raise Conflict(
            f"A review that is {review.state} cannot {action}.",
            hint="Submit the version again for a new review." if review.state is not _S.PUBLISHED else None,
        )
    return replace(review, state=state)


def check_four_eyes(review: Review, user: str, email: str) -> None:
    """Refuse the submitter, every author, and the same person under a second account."""
    involved = ((review.submitter, review.submitter_email), *review.authors)
    for known_user, known_email in involved:
        if user == known_user or (email and email.lower() == known_email.lower()):
            role = "submitted this review" if known_user == review.submitter else "edited this version"
            raise FourEyes(
                f"You cannot approve it: {email or user} {role}.",
                hint="Ask another member with the reviewer role.",
            )


def approve(review: Review, approval: Approval, policy: ReviewPolicy) -> Review:
    """Return the review with one more approval, approved when it is the last one needed."""
    if approval.digest != review.digest:
        raise PreconditionFailed(
            f"You saw {approval.digest[:23]}…, the review is for {review.digest[:23]}….",
            hint="Open the review again, read what changed, and approve the digest it shows.",
        )
    check_four_eyes(review, approval.user, approval.email)
    others = tuple(known for known in review.approvals if not _same_person(known, approval))
    approved = replace(review, approvals=(*others, approval))
    valid = valid_approvals(approved, policy, approval.at_ms)
    enough = len(valid) >= max(review.required, policy.approvals)
    return move(approved, ReviewAction.COMPLETE if enough else ReviewAction.APPROVE)


def valid_approvals(
    review: Review, policy: ReviewPolicy, now_ms: int, allowed: Iterable[str] | None = None
) -> tuple[Approval, ...]:
    """Return the approvals that count now.

    They name the version's digest, are young enough, come from people who
    neither submitted nor edited, and, when `allowed` is given, from users who
    still hold the right.
    """
    oldest = now_ms - policy.approval_days * _DAY_MS
    permitted = None if allowed is None else frozenset(allowed)
    return tuple(
        approval
        for approval in review.approvals
        if approval.digest == review.digest
        and approval.at_ms > oldest
        and (permitted is None or approval.user in permitted)
        and not _is_involved(review, approval)
    )


def comment(review: Review, remark: Comment) -> Review:
    """Return the review with one more remark; a decided review takes none."""
    if review.state in {_S.WITHDRAWN, _S.STALE, _S.REJECTED}:
        raise Conflict(f"A review that is {review.state} takes no comments.")
    return replace(review, comments=(*review.comments, remark))


def _same_person(one: Approval, other: Approval) -> bool:
    return one.user == other.user or (bool(one.email) and one.email.lower() == other.email.lower())


def _is_involved(review: Review, approval: Approval) -> bool:
    try:
        check_four_eyes(review, approval.user, approval.email)
    except FourEyes:
        return True
    return False
