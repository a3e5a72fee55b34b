"""The review machine: nothing outside the table, and no approval of anything unseen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.access import Role
from control_plane.domain.review_comments import Comment, add_comment, check_line, resolve_thread
from control_plane.domain.review_policies import ReviewPolicy, RoleNeed, ValuesRule, needs_of, stricter
from control_plane.domain.reviews import (
    TRANSITIONS,
    Approval,
    FourEyes,
    Measure,
    Review,
    ReviewAction,
    ReviewState,
    approve,
    move,
    needs_for,
    valid_approvals,
)
from control_plane.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from tests.unit.samples import a_review

_DAY = 86_400_000
_people = ["usr_submitter", "usr_author", "usr_1", "usr_2", "usr_3"]
_EVERYBODY = {
    user: frozenset({Role.REVIEWER})
    for user in ("usr_submitter", "usr_author", "usr_1", "usr_2", "usr_3", "usr_9")
}


def measured(policy: ReviewPolicy, now_ms: int, review: Review | None = None, epoch: str = "e1") -> Measure:
    return Measure(needs_for(review or a_review(), policy), _EVERYBODY, epoch, now_ms)


def attempt(review: Review, approval: Approval, policy: ReviewPolicy) -> Review:
    return approve(review, approval, measured(policy, approval.at_ms, review))


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
            review = attempt(review, approval, policy)
        except (PreconditionFailed, Forbidden, Conflict):
            continue
        seen.append(approval)
    if review.state is ReviewState.APPROVED:
        last = max(one.at_ms for one in seen)
        counted = valid_approvals(review, measured(policy, last, review))
        assert len({one.user for one in counted}) >= required
        assert all(one.digest == review.digest for one in counted)
        assert not {one.user for one in counted} & {"usr_submitter", "usr_author"}
        assert all(last - one.at_ms < 7 * _DAY for one in counted)


def test_another_digest_than_the_one_submitted_is_refused() -> None:
    with pytest.raises(PreconditionFailed, match="You saw"):
        attempt(a_review(), Approval("usr_1", "x@y.z", "sha256:other", 1), ReviewPolicy())


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
        attempt(a_review(), Approval(user, email, "sha256:seen", 1), ReviewPolicy())


def test_the_same_person_counts_once() -> None:
    policy = ReviewPolicy(approvals=2)
    review = attempt(a_review(2), Approval("usr_1", "x@y.z", "sha256:seen", 1), policy)
    again = attempt(review, Approval("usr_9", "X@y.z", "sha256:seen", 2), policy)
    assert again.state is ReviewState.IN_REVIEW
    assert len(again.approvals) == 1
    assert attempt(again, Approval("usr_2", "", "sha256:seen", 3), policy).state is ReviewState.APPROVED


def _approved() -> Review:
    return attempt(a_review(), Approval("usr_1", "x@y.z", "sha256:seen", _DAY), ReviewPolicy())


def test_approvals_expire_and_end_with_the_right() -> None:
    policy = ReviewPolicy(approval_days=7)
    assert len(valid_approvals(_approved(), measured(policy, 8 * _DAY - 1))) == 1
    assert valid_approvals(_approved(), measured(policy, 8 * _DAY)) == ()
    held = replace(measured(policy, 2 * _DAY), roles={"usr_2": frozenset({Role.REVIEWER})})
    assert valid_approvals(_approved(), held) == ()


def test_an_approval_whose_author_turns_out_to_be_involved_does_not_count() -> None:
    tainted = replace(_approved(), authors=(("usr_1", "x@y.z"),))
    assert valid_approvals(tainted, measured(ReviewPolicy(), 2 * _DAY)) == ()


def test_an_approval_covers_the_values_that_its_author_saw() -> None:
    policy = ReviewPolicy(values=ValuesRule.APPROVED)
    review = replace(a_review(), policy=policy)
    blind = Approval("usr_1", "x@y.z", "sha256:seen", 1)
    with pytest.raises(PreconditionFailed, match="not those that you saw"):
        approve(review, blind, measured(policy, 1, review))
    with pytest.raises(Conflict, match="missing"):
        approve(review, replace(blind, epoch="e1"), measured(policy, 1, review, epoch=""))
    approved = approve(review, replace(blind, epoch="e1"), measured(policy, 1, review))
    assert approved.state is ReviewState.APPROVED
    assert len(valid_approvals(approved, measured(policy, 2, review))) == 1
    assert valid_approvals(approved, measured(policy, 2, review, epoch="e2")) == ()
    free = ReviewPolicy()
    assert valid_approvals(approved, measured(free, 2, review, epoch="e2")) == (), "the policy of then holds"
    with pytest.raises(PreconditionFailed):
        approve(a_review(), replace(blind, epoch="old"), measured(free, 1))


def test_whose_role_does_not_count_cannot_approve() -> None:
    policy = ReviewPolicy(approvers=(Role.OWNER,))
    with pytest.raises(Forbidden, match="owner"):
        attempt(replace(a_review(), policy=policy), Approval("usr_1", "", "sha256:seen", 1), policy)


def test_the_stricter_of_the_policies_then_and_now_decides() -> None:
    then = replace(a_review(), policy=ReviewPolicy(approvals=2, approval_days=3))
    now = ReviewPolicy(approvals=1, approval_days=9, roles=(RoleNeed(Role.OPERATOR),))
    needs = needs_for(then, now)
    assert (needs.approvals, needs.approval_days, needs.roles) == (2, 3, {Role.OPERATOR: 1})
    assert needs == stricter(needs_of(now, (), ()), needs_of(then.policy, (), ()))


def test_threads_are_answered_resolved_and_opened_again() -> None:
    first = Comment("usr_1", 1, "why?", "a.py", 3, id="cmt_1")
    answer = Comment("usr_2", 2, "so", id="cmt_2", thread="cmt_1")
    settled = resolve_thread((first,), "cmt_1", user="usr_1", now_ms=5)
    assert (settled[0].resolved_by, settled[0].resolved_ms) == ("usr_1", 5)
    assert resolve_thread(settled, "cmt_1", user="usr_2", now_ms=6) == settled
    again = add_comment(settled, answer)
    assert (again[0].resolved_by, again[1].path, again[1].line) == ("", "a.py", 3)
    with pytest.raises(NotFound):
        resolve_thread(again, "cmt_2", user="usr_1", now_ms=5)
    with pytest.raises(Invalid):
        add_comment((), Comment("usr_1", 1, "x", line=3))
    with pytest.raises(Conflict, match="1,000"):
        add_comment((first,) * 1_000, answer)


@pytest.mark.parametrize(
    ("content", "last"), [(b"a\nb\n", 2), (b"a\nb", 2), (b"\n", 1), (b"a\r\nb\x0c\xe2\x80\xa8c", 2)]
)
def test_a_remark_lies_on_a_line_that_the_diff_counts_too(content: bytes, last: int) -> None:
    for line in range(1, last + 1):
        check_line(content, line)
    for line in (-1, 0, last + 1):
        with pytest.raises(Invalid) as refused:
            check_line(content, line)
        assert refused.value.field == "line"


@pytest.mark.parametrize("content", [b"", b"\0\n", b"\xff\n"])
def test_what_has_no_lines_takes_no_remark_on_one(content: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        check_line(content, 1)
    assert refused.value.field == "line"


@pytest.mark.parametrize("wrong", [{"approvals": -1}, {"approvals": 7}, {"approval_days": 0}])
def test_a_policy_has_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        ReviewPolicy(**wrong)
