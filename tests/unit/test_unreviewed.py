"""What nobody reviewed stays out of every place that asks for approvals, whichever way it tries to get in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from control_plane.domain.identity import ReviewPolicy
from control_plane.domain.review_policies import ValuesRule
from control_plane.domain.reviews import ReviewKind, ReviewState
from control_plane.domain.sharing import Audience, Share, ShareWish, UnreviewedShare
from control_plane.domain.versions import Version
from control_plane.errors import NotFound
from control_plane.services.releases import ReleaseRefused, Terms, Wish
from tests.support.builders import World
from tests.unit.conftest import People
from tests.unit.test_market import make_stranger


def ask_for(world: World, people: People, approvals: int, project: str = "main", **more: Any) -> None:
    etag = world.projects.get(people.owner, project).etag
    policy = ReviewPolicy(approvals=approvals, **more)
    world.projects.set_policy(people.owner, project, policy, if_match=etag)


def released_alone(world: World, people: People) -> Version:
    """Release a version in a project that asks for no approval, and let it ask for one afterwards."""
    ask_for(world, people, 0)
    version = world.frozen(people.author)
    assert world.released(people.operator, version).unreviewed
    ask_for(world, people, 1)
    return version


def is_unreviewed(world: World, people: People, version: Version) -> bool:
    return version.id not in world.review_lists.reviewed(people.author, [version.id])


WAYS: dict[str, Callable[[World, People], Any]] = {
    "release": lambda world, people: world.releases.apply(people.operator, "orders", [Wish(1, 100)]),
    "split": lambda world, people: world.releases.split(people.operator, "orders", version=1, percent=100),
    "tag": lambda world, people: world.releases.tag(
        people.operator, "orders", "stable", 1, Terms(if_match="r2")
    ),
    "rollback": lambda world, people: world.releases.rollback(people.operator, "orders", to=1),
    "share": lambda world, people: world.sharing.create(
        people.owner, "orders", ShareWish(1, unreviewed=True), audience=Audience.EVERYONE
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_from_unreviewed_to_where_approvals_are_asked_for(
    world: World, people: People, way: str
) -> None:
    version = released_alone(world, people)
    assert is_unreviewed(world, people, version)
    # The same digest again, so that there is something to roll back to.
    ask_for(world, people, 0)
    world.released(people.operator, version)
    ask_for(world, people, 1)
    with pytest.raises((ReleaseRefused, UnreviewedShare)):
        WAYS[way](world, people)
    world.approved(people.author, people.reviewer, version)
    assert not is_unreviewed(world, people, version)
    assert WAYS[way](world, people)


def test_a_first_release_of_what_nobody_saw_is_refused(world: World, people: People) -> None:
    version = world.frozen(people.author)
    with pytest.raises(ReleaseRefused, match="0 of 1"):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])
    assert is_unreviewed(world, people, version)


def shared_alone(world: World, people: People) -> Share:
    """Share an unreviewed version from the personal project `own`."""
    world.projects.create(people.owner, name="own", policy=ReviewPolicy(approvals=0))
    world.functions.create(people.author, project="own", name="orders")
    world.frozen(people.author)
    wish = ShareWish(1, unreviewed=True)
    return world.sharing.create(people.owner, "orders", wish, audience=Audience.ORGANIZATION)


def test_a_project_that_asks_for_approvals_installs_nothing_that_nobody_approved(
    world: World, people: People
) -> None:
    share = shared_alone(world, people)
    with pytest.raises(UnreviewedShare, match="main asks for approvals"):
        world.market.install(people.author, share.id, project="main", name="copy")
    with pytest.raises(NotFound):
        world.functions.get(people.author, "copy")
    made = world.market.install(people.author, share.id, project="own", name="copy")
    assert made.name == "copy"
    version = world.versions.get(people.author, "orders", 1)
    world.approved(people.author, people.reviewer, version)
    changed = world.sharing.change(people.owner, share.id, ShareWish(1), if_match=share.etag)
    assert changed.reviewed, "somebody looked at it although nobody had to"
    assert world.market.install(people.author, share.id, project="main", name="seen")


def test_an_update_to_what_nobody_approved_is_refused_too(world: World, people: People) -> None:
    world.projects.create(people.owner, name="own", policy=ReviewPolicy(approvals=0))
    world.functions.create(people.author, project="own", name="orders")
    world.approved(people.author, people.reviewer, world.frozen(people.author))
    share = world.sharing.create(people.owner, "orders", ShareWish(1), audience=Audience.ORGANIZATION)
    world.market.install(people.author, share.id, project="main", name="copy")
    world.frozen(people.author, text="x = 2\n")
    world.sharing.change(people.owner, share.id, ShareWish(2, unreviewed=True), if_match=share.etag)
    etag = world.drafts.get(people.author, "copy").etag
    with pytest.raises(UnreviewedShare):
        world.market.update(people.author, "copy", if_match=etag)
    assert world.drafts.read(people.author, "copy", "function.py") == b"x = 1\n"


def test_an_approval_counts_where_none_was_asked_for(world: World, people: People) -> None:
    ask_for(world, people, 0)
    version = world.frozen(people.author)
    review = world.approved(people.author, people.reviewer, version)
    assert review.state is ReviewState.APPROVED
    assert not world.released(people.operator, version).unreviewed
    world.frozen(people.author, text="x = 2\n")
    mixed = world.releases.split(people.operator, "orders", version=2, percent=10)
    assert mixed.unreviewed, "one unreviewed version marks the whole release"
    world.settle()
    back = world.releases.rollback(people.operator, "orders", to=1)
    assert not back.unreviewed
    ask_for(world, people, 1)
    assert world.releases.apply(people.operator, "orders", [Wish(1, 100)])
    with pytest.raises(ReleaseRefused):
        world.releases.apply(people.operator, "orders", [Wish(2, 100)])


def test_asking_for_nothing_does_not_pass_by_a_review_of_values(world: World, people: People) -> None:
    ask_for(world, people, 1, values=ValuesRule.APPROVED)
    version = world.frozen(people.author)
    review = world.reviews.submit(people.author, "orders", 1)
    values = world.reviews.values(people.reviewer, review.id)
    world.reviews.approve(people.reviewer, review.id, digest=review.digest, values=values)
    world.released(people.operator, version)
    world.reviews.submit(people.author, "orders", 1, kind=ReviewKind.MODIFY)
    ask_for(world, people, 0)
    with pytest.raises(ReleaseRefused, match="decided or withdrawn"):
        world.releases.apply(people.operator, "orders", [Wish(1, 100)])


def test_what_was_refused_or_withdrawn_stays_unreviewed(world: World, people: People) -> None:
    version = world.frozen(people.author)
    review = world.reviews.submit(people.author, "orders", 1)
    assert is_unreviewed(world, people, version)
    world.reviews.reject(people.reviewer, review.id, reason="no")
    assert is_unreviewed(world, people, version)
    review = world.reviews.submit(people.author, "orders", 1)
    world.reviews.withdraw(people.author, review.id)
    assert is_unreviewed(world, people, version)
    asked = world.reviews.submit(people.author, "orders", 1, kind=ReviewKind.TAKEDOWN, note="It leaks.")
    world.reviews.approve(people.reviewer, asked.id, digest=asked.digest)
    assert is_unreviewed(world, people, version), "who takes a version down lets nothing through"


def test_nobody_learns_of_another_tenants_reviews(world: World, people: People) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    assert world.review_lists.reviewed(make_stranger(world), [version.id]) == frozenset()
