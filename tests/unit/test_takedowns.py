"""What is taken down stays down until a review lets it back, and approved values are the ones released."""

from __future__ import annotations

import pytest

from control_plane.domain.identity import ReviewPolicy
from control_plane.domain.review_policies import ValuesRule
from control_plane.domain.reviews import ReviewKind, ReviewState
from control_plane.domain.values import ValueKey, ValueKind
from control_plane.errors import Conflict
from control_plane.services.releases import ReleaseRefused, Wish
from tests.support.builders import World
from tests.unit.conftest import People


def test_only_a_review_reinstates_what_was_taken_down(world: World, people: People) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    world.takedowns.now(people.operator, "orders", reason="It leaks.")
    world.settle()
    assert world.gateway.states[-1].routes == ()
    with pytest.raises(ReleaseRefused, match="taken down"):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])
    with pytest.raises(Conflict, match="taken down"):
        world.versions.deprecate(people.operator, "orders", 1)
    back = world.reviews.submit(people.author, "orders", 1, kind=ReviewKind.REINSTATE)
    world.reviews.approve(people.reviewer, back.id, digest=back.digest)
    assert world.releases.apply(people.operator, "orders", [Wish(1, 100)]).parts[0].number == 1


def test_an_approved_takedown_takes_effect_at_once(world: World, people: People) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    asked = world.reviews.submit(people.author, "orders", 1, kind=ReviewKind.TAKEDOWN, note="It leaks.")
    done = world.reviews.approve(people.reviewer, asked.id, digest=asked.digest)
    assert done.state is ReviewState.PUBLISHED
    world.settle()
    assert world.gateway.states[-1].routes == ()


def test_other_values_than_were_approved_need_a_new_review(world: World, people: People) -> None:
    policy = ReviewPolicy(values=ValuesRule.APPROVED)
    world.projects.set_policy(people.owner, "main", policy, if_match="p1")
    key = ValueKey(ValueKind.SETTING, "API_URL")
    world.settings.put(people.operator, "main", key, "seen")
    version = world.frozen(people.author, settings=["API_URL"])
    review = world.reviews.submit(people.author, "orders", version.number)
    values = world.reviews.values(people.reviewer, review.id)
    world.reviews.approve(people.reviewer, review.id, digest=review.digest, values=values)
    world.settings.put(people.operator, "main", key, "unseen", if_match="v1")
    with pytest.raises(ReleaseRefused, match="values to be released"):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])
    world.settings.put(people.operator, "main", key, "seen", if_match="v2")
    world.released(people.operator, version)
    world.settings.put(people.operator, "main", key, "unseen", if_match="v3")
    with pytest.raises(ReleaseRefused):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])
    again = world.reviews.submit(people.author, "orders", 1, kind=ReviewKind.MODIFY)
    values = world.reviews.values(people.reviewer, again.id)
    world.reviews.approve(people.reviewer, again.id, digest=again.digest, values=values)
    assert world.releases.apply(people.operator, "orders", [Wish(1, 100)])


def test_a_weaker_policy_does_not_pass_an_open_review_by(world: World, people: People) -> None:
    world.frozen(people.author)
    review = world.reviews.submit(people.author, "orders", 1)
    world.projects.set_policy(people.owner, "main", ReviewPolicy(approvals=0), if_match="p1")
    with pytest.raises(ReleaseRefused, match="decided or withdrawn"):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])
    world.reviews.withdraw(people.author, review.id)
    assert world.releases.apply(people.operator, "orders", [Wish(1, 100)]).unreviewed
