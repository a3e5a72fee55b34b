"""The slice from draft to call, through the services alone."""

from __future__ import annotations

import pytest

from control_plane.domain.releases import ReleaseState
from control_plane.domain.reviews import FourEyes, ReviewState
from control_plane.services.releases import ReleaseRefused, Wish
from tests.support.builders import World
from tests.unit.conftest import People


def test_a_draft_becomes_a_reviewed_release_that_keys_may_call(world: World, people: People) -> None:
    version = world.frozen(people.author)
    with pytest.raises(ReleaseRefused, match="0 of 1 valid approvals"):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])
    review = world.approved(people.author, people.reviewer, version)
    assert review.state is ReviewState.APPROVED
    release = world.released(people.operator, version)
    assert release.state is ReleaseState.LIVE
    assert [condition.type for condition in release.conditions if condition.status] == ["Ready"]
    made = world.api_keys.create(people.operator, project="main", name="shop")
    world.settle()
    state = world.gateway.states[-1]
    assert [route.path for route in state.routes] == ["acme/orders", "acme/orders@live", "acme/orders@1"]
    assert [key.key for key in state.keys] == [made.key.id]
    assert world.reviews.get(people.owner, review.id).state is ReviewState.PUBLISHED
    verified = world.audit.verify(people.owner)
    assert verified.findings == ()
    assert verified.entries > 10


def test_an_author_cannot_approve_their_own_version(world: World, people: People) -> None:
    version = world.frozen(people.owner)
    review = world.reviews.submit(people.author, "orders", 1)
    with pytest.raises(FourEyes):
        world.reviews.approve(people.owner, review.id, digest=version.digest)
    denied = [entry for entry in world.audit.entries(people.owner).items if entry.outcome == "denied"]
    assert [(entry.action, entry.details["code"]) for entry in denied] == [("review.approve", "four_eyes")]
