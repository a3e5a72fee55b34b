"""The review machine: nothing outside the table, and no approval of anything unseen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.identity import ReviewPolicy
from control_plane.domain.reviews import (
    TRANSITIONS,
    Approval,
    Comment,
    FourEyes,
    Review,
    ReviewAction,
    ReviewState,
    approve,
    comment,
    move,
    valid_approvals,
)
from control_plane.errors import Conflict, Forbidden, Invalid, PreconditionFailed
from tests.unit.samples import a_review

_DAY = 86_400_000
_people = ["usr_submitter", "usr_author", "usr_1", "usr_2", "usr_3"]
approvals = st.builds(
    Approval,
    user=st.sampled_from(_people),
    email=st.sampled_from(["", "author@acme.example", "SUBMITTER@acme.example", "x@acme.example", "y@a.b"]),
    digest=st.sampled_from(["sha256:seen", "sha256:other"]),
    at_ms=st.integers(0, 20 * _DAY),
)


@pytest.mark.parametrize("state", ReviewState)
@pytest.mark.parametrize("action", ReviewAction)
def test_only_the_table_moves_a_review(state: ReviewState, action: ReviewAction) -> None:
    review = replace(a_review(), state=state)
    if (state, action) in TRANSITIONS:
        assert move(review, action).state is TRANSITIONS[state, action]
    else:
        with pytest.raises(Conflict):
            move(review, action)


@pytest.mark.parametrize(
    "state", [ReviewState.REJECTED, ReviewState.WITHDRAWN, ReviewState.STALE, ReviewState.PUBLISHED]
)
def test_a_decided_review_never_moves_again(state: ReviewState) -> None:
    assert not any(known is state for known, _ in TRANSITIONS)


@given(st.lists(approvals, max_size=8), st.integers(1, 3))
def test_an_approved_review_was_seen_by_enough_others(tried: list[Approval], required: int) -> None:
    policy = ReviewPolicy(approvals=required)
    review = a_review(required)
    seen: list[Approval] = []
    for approval in sorted(tried, key=lambda one: one.at_ms):
        try:
            review = approve(review, approval, policy)
        except (PreconditionFailed, Forbidden, Conflict):
            continue
        seen.append(approval)
    if review.state is ReviewState.APPROVED:
        last = max(one.at_ms for one in seen)
        counted = valid_approvals(review, policy, last)
        assert len({one.user for one in counted}) >= required
        assert all(one.digest == review.digest for one in counted)
        assert not {one.user for one in counted} & {"usr_submitter", "usr_author"}
        assert all(last - one.at_ms < 7 * _DAY for one in counted)


def test_another_digest_than_the_one_submitted_is_refused() -> None:
    with pytest.raises(PreconditionFailed, match="You saw"):
        approve(a_review(), Approval("usr_1", "x@y.z", "sha256:other", 1), ReviewPolicy())


@pytest.mark.parametrize(
    ("user", "email"),
    [
        ("usr_submitter", ""),
        ("usr_author", ""),
        ("usr_second", "Author@acme.example"),
        ("usr_second", "submitter@ACME.example"),
    ],
)
def test_nobody_approves_their_own_work(user: str, email: str) -> None:
    with pytest.raises(FourEyes):
        approve(a_review(), Approval(user, email, "sha256:seen", 1), ReviewPolicy())


def test_the_same_person_counts_once() -> None:
    policy = ReviewPolicy(approvals=2)
    review = approve(a_review(2), Approval("usr_1", "x@y.z", "sha256:seen", 1), policy)
    again = approve(review, Approval("usr_9", "X@y.z", "sha256:seen", 2), policy)
    assert again.state is ReviewState.IN_REVIEW
    assert len(again.approvals) == 1
    assert approve(again, Approval("usr_2", "", "sha256:seen", 3), policy).state is ReviewState.APPROVED


def _approved() -> Review:
    return approve(a_review(), Approval("usr_1", "x@y.z", "sha256:seen", _DAY), ReviewPolicy())


def test_approvals_expire_and_end_with_the_right() -> None:
    policy = ReviewPolicy(approval_days=7)
    assert len(valid_approvals(_approved(), policy, 8 * _DAY - 1)) == 1
    assert valid_approvals(_approved(), policy, 8 * _DAY) == ()
    assert len(valid_approvals(_approved(), policy, 2 * _DAY, ["usr_1"])) == 1
    assert valid_approvals(_approved(), policy, 2 * _DAY, ["usr_2"]) == ()


def test_an_approval_whose_author_turns_out_to_be_involved_does_not_count() -> None:
    tainted = replace(_approved(), authors=(("usr_1", "x@y.z"),))
    assert valid_approvals(tainted, ReviewPolicy(), 2 * _DAY) == ()


def test_remarks_end_with_the_review() -> None:
    remark = Comment("usr_1", 1, "why?", "a.py", 3)
    assert comment(a_review(), remark).comments == (remark,)
    assert a_review().open
    with pytest.raises(Conflict):
        comment(replace(a_review(), state=ReviewState.STALE), remark)


@pytest.mark.parametrize("wrong", [{"approvals": -1}, {"approvals": 7}, {"approval_days": 0}])
def test_a_policy_has_bounds(wrong: dict[str, int]) -> None:
    with pytest.raises(Invalid):
        ReviewPolicy(**wrong)
