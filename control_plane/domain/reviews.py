"""Reviews: an explicit state machine, four eyes, and approvals bound to a digest.

A review belongs to one version, so its digest never changes; an approval
repeats the digest that its author saw, and only approvals of exactly the
version's digest ever count. What a policy asks for is in `review_policies`,
remarks are in `review_comments`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from control_plane.domain.access import Role
from control_plane.domain.review_comments import Comment
from control_plane.domain.review_policies import (
    Needs,
    ReviewPolicy,
    Risk,
    needs_of,
    satisfied,
    stricter,
)
from control_plane.errors import Conflict, Forbidden, PreconditionFailed

__all__ = [
    "TRANSITIONS",
    "Approval",
    "FourEyes",
    "Measure",
    "Review",
    "ReviewAction",
    "ReviewKind",
    "ReviewState",
    "approve",
    "check_four_eyes",
    "move",
    "needs_for",
    "valid_approvals",
]

_DAY_MS: Final = 86_400_000


class ReviewKind(StrEnum):
    """What is asked for."""

    # Let a version receive calls.
    PUBLISH = "publish"
    # Let a version that receives calls run with other values.
    MODIFY = "modify"
    # Let a version run no more.
    TAKEDOWN = "takedown"
    # Let a version that was taken down run again.
    REINSTATE = "reinstate"


class ReviewState(StrEnum):
    """Where a review stands."""

    SUBMITTED = "submitted"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    # The submitter is asked to answer, or to submit another version.
    CHANGES_REQUESTED = "changes_requested"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    # A newer version of the function was submitted.
    STALE = "stale"
    # Calls reached the version, or it was taken down as asked: the approvals are used up.
    PUBLISHED = "published"


class ReviewAction(StrEnum):
    """What happens to a review."""

    APPROVE = "approve"
    # The last approval that the policy asks for.
    COMPLETE = "complete"
    REQUEST_CHANGES = "request_changes"
    RESUBMIT = "resubmit"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    OUTDATE = "outdate"
    PUBLISH = "publish"


_S, _A = ReviewState, ReviewAction
_OPEN: Final = frozenset({_S.SUBMITTED, _S.IN_REVIEW, _S.CHANGES_REQUESTED})
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
    (_S.SUBMITTED, _A.REQUEST_CHANGES): _S.CHANGES_REQUESTED,
    (_S.IN_REVIEW, _A.REQUEST_CHANGES): _S.CHANGES_REQUESTED,
    (_S.APPROVED, _A.REQUEST_CHANGES): _S.CHANGES_REQUESTED,
    (_S.CHANGES_REQUESTED, _A.RESUBMIT): _S.SUBMITTED,
    (_S.CHANGES_REQUESTED, _A.REJECT): _S.REJECTED,
    (_S.CHANGES_REQUESTED, _A.WITHDRAW): _S.WITHDRAWN,
    (_S.CHANGES_REQUESTED, _A.OUTDATE): _S.STALE,
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
    """One person's yes to exactly one digest, and to the values that they saw beside it."""

    user: str
    email: str
    digest: str
    at_ms: int
    # `Bound.epoch` of the live values as shown; empty when none were looked at.
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """The request to publish one version, to change its values, or to take it down."""

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
    # (user id, e-mail) of the version's authors since the last reviewed version.
    authors: tuple[tuple[str, str], ...]
    # Approvals that the project's policy came to when it was submitted.
    required: int
    note: str
    created_ms: int
    approvals: tuple[Approval, ...] = ()
    comments: tuple[Comment, ...] = ()
    decided_by: str = ""
    decided_ms: int = 0
    reason: str = ""
    kind: ReviewKind = ReviewKind.PUBLISH
    # The project's policy when it was submitted; the stricter of it and the present one decides.
    policy: ReviewPolicy = field(default_factory=ReviewPolicy)
    # Id of the version that it is compared with; empty when everything is new.
    base: str = ""
    # What changes against the base.
    paths: tuple[str, ...] = ()
    risks: tuple[Risk, ...] = ()

    @property
    def open(self) -> bool:
        """Say whether it can still be decided."""
        return self.state in _OPEN


@dataclass(frozen=True, slots=True)
class Measure:
    """What approvals are held against at one moment."""

    needs: Needs
    # user id -> roles in the project; who may not decide any more is absent.
    roles: Mapping[str, frozenset[Role]]
    # Of the live values now; empty while one is missing.
    epoch: str
    now_ms: int


def needs_for(review: Review, policy: ReviewPolicy) -> Needs:
    """Return what the stricter of the policy at submission and the present one comes to."""
    return stricter(
        needs_of(review.policy, review.paths, review.risks), needs_of(policy, review.paths, review.risks)
    )


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


def approve(review: Review, approval: Approval, measure: Measure) -> Review:
    """Return the review with one more approval, approved when it is the last one needed."""
    if approval.digest != review.digest:
        raise PreconditionFailed(
            f"You saw {approval.digest[:23]}…, the review is for {review.digest[:23]}….",
            hint="Open the review again, read what changed, and approve the digest it shows.",
        )
    _check_values(approval, measure)
    check_four_eyes(review, approval.user, approval.email)
    if not measure.needs.counts(measure.roles.get(approval.user, frozenset())):
        wanted = ", ".join(sorted({*measure.needs.approvers, *measure.needs.roles}))
        raise Forbidden(
            f"The review policy counts approvals of: {wanted or 'nobody'}.",
            hint="Ask a member with one of these roles.",
        )
    others = tuple(known for known in review.approvals if not _same_person(known, approval))
    approved = replace(review, approvals=(*others, approval))
    valid = valid_approvals(approved, measure)
    enough = satisfied(measure.needs, [measure.roles[one.user] for one in valid])
    return move(approved, ReviewAction.COMPLETE if enough else ReviewAction.APPROVE)


def valid_approvals(review: Review, measure: Measure) -> tuple[Approval, ...]:
    """Return the approvals that count now.

    They name the version's digest and, where the policy says so, the values
    of now, are young enough, and come from people who neither submitted nor
    edited and who still hold a role that counts.
    """
    needs = measure.needs
    oldest = measure.now_ms - needs.approval_days * _DAY_MS
    return tuple(
        approval
        for approval in review.approvals
        if approval.digest == review.digest
        and approval.at_ms > oldest
        and (not needs.values or (bool(measure.epoch) and approval.epoch == measure.epoch))
        and needs.counts(measure.roles.get(approval.user, frozenset()))
        and not _is_involved(review, approval)
    )


def _check_values(approval: Approval, measure: Measure) -> None:
    """Refuse an approval of other values than those of now, or of none where the policy covers them."""
    if measure.needs.values and not measure.epoch:
        raise Conflict(
            "A value that the version declares is missing, so nobody can approve the values.",
            hint="Set each of them, then approve.",
        )
    if (measure.needs.values or approval.epoch) and approval.epoch != measure.epoch:
        raise PreconditionFailed(
            "The values of settings or secrets are not those that you saw.",
            field="values",
            hint="Open the review again and send the values that it shows.",
        )


def _same_person(one: Approval, other: Approval) -> bool:
    return one.user == other.user or (bool(one.email) and one.email.lower() == other.email.lower())


def _is_involved(review: Review, approval: Approval) -> bool:
    try:
        check_four_eyes(review, approval.user, approval.email)
    except FourEyes:
        return True
    return False
