"""Reviews, approvals, releases and rollbacks, through the services."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from control_plane.domain.access import Role
from control_plane.domain.identity import ReviewPolicy
from control_plane.domain.releases import ReleaseState, Throttle
from control_plane.domain.review_comments import Comment
from control_plane.domain.reviews import FourEyes, ReviewState
from control_plane.domain.values import ValueKey, ValueKind
from control_plane.errors import Conflict, Forbidden, IngotError, Invalid, NotFound, PreconditionFailed
from control_plane.services.releases import ReleaseRefused, Wish
from control_plane.services.review_lists import ReviewQuery
from tests.support.builders import World
from tests.unit.conftest import People

API_URL = ValueKey(ValueKind.SETTING, "API_URL")


def test_a_newer_submission_makes_the_older_stale(world: World, people: People) -> None:
    world.frozen(people.author)
    older = world.reviews.submit(people.author, "orders", 1)
    with pytest.raises(Conflict, match="under review already"):
        world.reviews.submit(people.author, "orders", 1)
    world.frozen(people.author, text="x = 2\n")
    newer = world.reviews.submit(people.author, "orders", 2)
    assert world.reviews.get(people.author, older.id).state is ReviewState.STALE
    with pytest.raises(Conflict):
        world.reviews.approve(people.reviewer, older.id, digest=older.digest)
    listed = world.review_lists.list(people.reviewer, ReviewQuery(function="orders", open_only=True))
    assert [one.id for one in listed.items] == [newer.id]
    page = world.review_lists.list(people.reviewer, limit=1)
    assert [one.id for one in page.items] == [newer.id]
    rest = world.review_lists.list(people.reviewer, after=page.next, limit=1)
    assert [one.id for one in rest.items] == [older.id]


def test_a_review_is_discussed_rejected_or_withdrawn(world: World, people: People) -> None:
    world.frozen(people.author)
    review = world.reviews.submit(people.author, "orders", 1, note="please")
    world.reviews.comment(people.reviewer, review.id, Comment("", 0, "why?", "function.py", 1))
    with pytest.raises(Invalid):
        world.reviews.comment(people.reviewer, review.id, Comment("", 0, " "))
    with pytest.raises(Forbidden):
        world.reviews.reject(people.author, review.id, reason="no")
    rejected = world.reviews.reject(people.reviewer, review.id, reason="no")
    assert (rejected.state, rejected.reason, len(rejected.comments)) == (ReviewState.REJECTED, "no", 1)
    second = world.reviews.submit(people.author, "orders", 1)
    with pytest.raises(Forbidden, match="Only its submitter"):
        world.reviews.withdraw(people.owner, second.id)
    assert world.reviews.withdraw(people.author, second.id).state is ReviewState.WITHDRAWN
    with pytest.raises(NotFound):
        world.reviews.get(people.author, "rev_unknown")


def test_who_edited_after_the_freeze_is_involved_too(world: World, people: People) -> None:
    version = world.frozen(people.author)
    both = world.member(people.owner, "bea", Role.OWNER)
    review = world.reviews.submit(people.author, "orders", 1)
    world.drafted(both, text="x = 9\n")
    with pytest.raises(FourEyes):
        world.reviews.approve(both, review.id, digest=version.digest)


def test_a_project_guest_does_not_see_reviews(world: World, people: People) -> None:
    world.frozen(people.author)
    review = world.reviews.submit(people.author, "orders", 1)
    world.projects.create(people.owner, name="side")
    guest = world.member(people.owner, "gil", Role.REVIEWER, project="side")
    with pytest.raises(NotFound):
        world.reviews.approve(guest, review.id, digest=review.digest)


def test_a_tampered_version_is_neither_approved_nor_released(world: World, people: People) -> None:
    version = world.frozen(people.author)
    review = world.reviews.submit(people.author, "orders", 1)
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE versions SET manifest_text = '{}'"))
    with pytest.raises(Conflict, match="not the one"):
        world.reviews.approve(people.reviewer, review.id, digest=version.digest)
    with pytest.raises(ReleaseRefused, match="does not hash"):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])


def test_an_approver_must_have_been_vouched_for(world: World, people: People) -> None:
    version = world.frozen(people.author)
    review = world.reviews.submit(people.author, "orders", 1)
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE users SET verified_by = ''"))
    with pytest.raises(Forbidden, match="vouched"):
        world.reviews.approve(people.reviewer, review.id, digest=version.digest)


def test_rights_are_checked_again_at_the_release(world: World, people: People) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    world.members.withdraw(people.owner, people.reviewer.user, role=Role.REVIEWER)
    with pytest.raises(ReleaseRefused, match="0 of 1"):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])


def test_approvals_expire_before_they_are_used(world: World, people: People) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    world.clock.advance(days=7)
    operator = world.sign_in(people.operator.email)
    with pytest.raises(ReleaseRefused, match="0 of 1"):
        world.releases.apply(operator, "orders", [Wish(1, 100)])
    reviewer = world.sign_in(people.reviewer.email)
    review = world.review_lists.list(reviewer).items[0]
    world.reviews.approve(reviewer, review.id, digest=review.digest)
    assert world.releases.apply(operator, "orders", [Wish(1, 100)]).number == 1


def test_a_stricter_policy_counts_at_once(world: World, people: People) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    world.projects.set_policy(people.owner, "main", ReviewPolicy(approvals=2), if_match="p1")
    with pytest.raises(ReleaseRefused, match="1 of 2"):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])
    review = world.review_lists.list(people.reviewer).items[0]
    second = world.member(people.owner, "rolf", Role.REVIEWER)
    again = world.reviews.approve(second, review.id, digest=review.digest)
    assert again.state is ReviewState.APPROVED
    assert world.released(people.operator, version).state is ReleaseState.LIVE


def test_a_personal_project_is_marked_unreviewed_and_stays_so(world: World, people: People) -> None:
    world.projects.set_policy(people.owner, "main", ReviewPolicy(approvals=0), if_match="p1")
    version = world.frozen(people.author)
    assert world.released(people.operator, version).unreviewed
    world.projects.set_policy(people.owner, "main", ReviewPolicy(approvals=1), if_match="p2")
    with pytest.raises(ReleaseRefused, match="0 of 1"):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])


def test_a_plan_says_everything_before_anything_is_recorded(world: World, people: People) -> None:
    world.frozen(people.author, settings=["API_URL"])
    plan = world.releases.plan(people.author, "orders", [Wish(1, 100)])
    assert [code for code, _ in plan.refusals] == ["approval_missing", "values_missing"]
    with pytest.raises(ReleaseRefused) as caught:
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])
    assert caught.value.errors == plan.refusals
    assert world.releases.status(people.author, "orders").newest is None
    world.settings.put(people.operator, "main", API_URL, "1")
    world.approved(people.author, people.reviewer, world.versions.get(people.author, "orders", 1))
    plan = world.releases.plan(people.author, "orders", [Wish(1, 100)])
    assert "API_URL" in plan.steps[0]
    with pytest.raises(PreconditionFailed, match="plan has changed"):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)], expect="sha256:other")
    release = world.releases.apply(people.operator, "orders", [Wish(1, 100)], expect=plan.digest)
    assert release.digest == plan.digest
    with pytest.raises(Invalid):
        Throttle(instances=-1)


def test_a_canary_shares_traffic_and_a_rollback_ends_it(world: World, people: People) -> None:
    world.drafted(people.author)
    with pytest.raises(Conflict, match="no live release"):
        world.releases.split(people.operator, "orders", version=1, percent=10)
    first = world.frozen(people.author)
    world.approved(people.author, people.reviewer, first)
    world.released(people.operator, first)
    with pytest.raises(Conflict, match="No earlier release"):
        world.releases.rollback(people.operator, "orders")
    second = world.frozen(people.author, text="x = 2\n")
    world.approved(people.author, people.reviewer, second)
    canary = world.releases.split(people.operator, "orders", version=2, percent=10)
    assert [(part.number, part.percent, part.tag) for part in canary.parts] == [
        (1, 90, ""),
        (2, 10, "canary"),
    ]
    world.settle()
    paths = {route.path: route.shares for route in world.gateway.states[-1].routes}
    assert set(paths) == {
        "acme/orders",
        "acme/orders@live",
        "acme/orders@1",
        "acme/orders@2",
        "acme/orders@canary",
    }
    assert paths["acme/orders@live"] == paths["acme/orders"]
    assert [share.percent for share in paths["acme/orders"]] == [90, 10]
    back = world.releases.rollback(people.operator, "orders")
    assert (back.rollback_of, [part.number for part in back.parts]) == (1, [1])
    world.settle()
    assert world.releases.status(people.operator, "orders").live == world.releases.get(
        people.operator, "orders", back.number
    )
    assert len(world.releases.list(people.operator, "orders")) == 3
    whole = world.releases.split(people.operator, "orders", version=2, percent=100)
    assert [(part.number, part.percent) for part in whole.parts] == [(2, 100)]
    with pytest.raises(NotFound):
        world.releases.rollback(people.operator, "orders", to=99)


def test_a_rollback_keeps_the_values_it_had(world: World, people: People) -> None:
    world.settings.put(people.operator, "main", API_URL, "old")
    first = world.frozen(people.author, settings=["API_URL"])
    world.approved(people.author, people.reviewer, first)
    world.released(people.operator, first)
    world.settings.put(people.operator, "main", API_URL, "new", if_match="v1")
    world.released(people.operator, first)
    assert world.runtime.states[-1].targets[0].settings == {"API_URL": "new"}
    world.releases.rollback(people.operator, "orders")
    world.settle()
    assert world.runtime.states[-1].targets[0].settings == {"API_URL": "old"}
    world.releases.rollback(people.operator, "orders", to=1, newest_values=True)
    world.settle()
    assert world.runtime.states[-1].targets[0].settings == {"API_URL": "new"}


def test_a_rollback_is_free_for_thirty_days_and_never_for_a_retired_version(
    world: World, people: People
) -> None:
    first = world.frozen(people.author)
    world.approved(people.author, people.reviewer, first)
    world.released(people.operator, first)
    second = world.frozen(people.author, text="x = 2\n")
    world.approved(people.author, people.reviewer, second)
    world.released(people.operator, second)
    world.clock.advance(days=29)
    operator = world.sign_in(people.operator.email)
    assert not world.releases.plan(operator, "orders", [Wish(1, 100)]).refusals
    world.clock.advance(days=2)
    operator = world.sign_in(people.operator.email)
    refusals = world.releases.plan(operator, "orders", [Wish(1, 100)]).refusals
    assert [code for code, _ in refusals] == ["approval_missing"]
    world.versions.retire(operator, "orders", 2)
    refusals = world.releases.plan(operator, "orders", [Wish(2, 100)]).refusals
    assert [code for code, _ in refusals] == ["version_retired"]


def test_a_removed_function_receives_no_calls(world: World, people: People) -> None:
    first = world.frozen(people.author)
    world.approved(people.author, people.reviewer, first)
    world.released(people.operator, first)
    removed = world.functions.remove(people.operator, "orders")
    assert world.functions.remove(people.operator, "orders") == removed
    world.settle()
    assert world.gateway.states[-1].routes == ()
    assert world.runtime.states[-1].targets == ()
    refusals = world.releases.plan(people.operator, "orders", [Wish(1, 100)]).refusals
    assert "function_removed" in {code for code, _ in refusals}


def test_a_later_release_takes_a_pending_ones_place(world: World, people: People) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    first = world.releases.apply(people.operator, "orders", [Wish(1, 100)])
    second = world.releases.apply(people.operator, "orders", [Wish(1, 100)], throttle=Throttle(instances=2))
    world.settle()
    assert world.releases.get(people.operator, "orders", first.number).state is ReleaseState.SUPERSEDED
    assert world.releases.get(people.operator, "orders", second.number).state is ReleaseState.LIVE
    assert world.runtime.states[-1].targets[0].limits.instances == 2


@pytest.mark.parametrize("attempt", range(5))
def test_no_race_publishes_unseen_bytes(world: World, people: People, attempt: int) -> None:
    """One thread edits, freezes and submits, another approves what it saw, a third releases the newest."""
    seen = world.frozen(people.author)
    review = world.reviews.submit(people.author, "orders", 1)
    gate = threading.Barrier(3)
    problems: list[Exception] = []

    def guarded(action: str) -> None:
        gate.wait(10)
        try:
            if action == "edit":
                evil = world.frozen(people.author, text=f"evil = {attempt}\n")
                world.reviews.submit(people.author, "orders", evil.number)
            elif action == "approve":
                world.reviews.approve(people.reviewer, review.id, digest=seen.digest)
            else:
                newest = world.versions.list(people.operator, "orders").items[0]
                world.releases.apply(people.operator, "orders", [Wish(newest.number, 100)])
        except IngotError:
            pass
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(name,)) for name in ("edit", "approve", "release")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    newest = world.versions.list(people.operator, "orders").items[0]
    if newest.digest != seen.digest:
        with pytest.raises(ReleaseRefused):
            world.releases.apply(people.operator, "orders", [Wish(newest.number, 100)])
    world.settle()
    live = [part for release in world.releases.list(people.operator, "orders") for part in release.parts]
    assert {part.digest for part in live} <= {seen.digest}
    assert world.audit.verify(people.owner).findings == ()


def test_two_approvals_take_two_people(world: World, people: People) -> None:
    world.projects.set_policy(people.owner, "main", ReviewPolicy(approvals=2), if_match="p1")
    version = world.frozen(people.author)
    first = world.approved(people.author, people.reviewer, version)
    assert (first.state, first.decided_by) == (ReviewState.IN_REVIEW, "")
    again = world.reviews.approve(people.reviewer, first.id, digest=version.digest)
    assert (again.state, len(again.approvals)) == (ReviewState.IN_REVIEW, 1)
    both = world.reviews.approve(people.owner, first.id, digest=version.digest)
    assert (both.state, both.decided_by) == (ReviewState.APPROVED, people.owner.user)
