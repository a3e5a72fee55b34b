"""Functions as named things: finding, describing, taking down and bringing back."""

from __future__ import annotations

import pytest

from control_plane.domain.access import Role
from control_plane.domain.function_search import FunctionSearch, FunctionSort, FunctionState
from control_plane.errors import Conflict, Forbidden, Invalid, PreconditionFailed, PreconditionRequired
from control_plane.services.functions import Details
from tests.support.builders import World
from tests.unit.conftest import People


def names(world: World, people: People, limit: int = 2, **search: object) -> list[str]:
    """Return the names of all pages, each of `limit` functions."""
    found, after = [], ""
    while True:
        wanted = FunctionSearch(**search)  # type: ignore[arg-type]
        page = world.functions.list(people.author, search=wanted, after=after, limit=limit)
        found += [one.name for one in page.items]
        after = page.next
        if not after:
            return found


def make(world: World, people: People, *wanted: str) -> None:
    for name in wanted:
        world.clock.advance(seconds=1)
        world.functions.create(people.author, project="main", name=name)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_each_order_goes_through_every_page_once(world: World, people: People, limit: int) -> None:
    make(world, people, "beta", "alpha", "gamma", "delta")
    world.clock.advance(seconds=1)
    world.drafted(people.author, "beta")
    expected = {
        FunctionSort.NAME: ["alpha", "beta", "delta", "gamma"],
        FunctionSort.CREATED: ["beta", "alpha", "gamma", "delta"],
        # The newest edit of the draft is a change.
        FunctionSort.UPDATED: ["alpha", "gamma", "delta", "beta"],
    }
    for sort, order in expected.items():
        assert names(world, people, limit, sort=sort) == order
        assert names(world, people, limit, sort=sort, descending=True) == order[::-1]


def test_equal_times_lose_nobody_between_pages(world: World, people: People) -> None:
    for name in ("a", "b", "c"):
        world.functions.create(people.author, project="main", name=name)
    assert names(world, people, 1, sort=FunctionSort.UPDATED) == ["a", "b", "c"]


def test_a_list_is_narrowed_by_state_runtime_and_text(world: World, people: People) -> None:
    version = world.frozen(people.author, "orders")
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    world.drafted(people.author, "idle")
    world.functions.create(people.author, project="main", name="gone", title="100% Orders_x")
    world.functions.remove(people.operator, "gone")
    assert names(world, people, state=FunctionState.LIVE) == ["orders"]
    assert names(world, people, state=FunctionState.IDLE) == ["idle"]
    assert names(world, people, state=FunctionState.REMOVED) == ["gone"]
    assert names(world, people, runtime="python3.11") == ["orders"]
    assert names(world, people, text="ORDERS") == ["orders", "gone"]
    assert names(world, people, text="0% ord") == ["gone"]
    # What is a pattern elsewhere is only text here.
    assert names(world, people, text="%_") == []


def test_details_change_under_if_match_alone(world: World, people: People) -> None:
    make(world, people, "orders")
    before = world.functions.get(people.author, "orders")
    details = Details(title="All orders", description="Sums.", labels={"team": "shop"})
    with pytest.raises(PreconditionRequired):
        world.functions.describe(people.author, "orders", details, if_match="")
    after = world.functions.describe(people.author, "orders", details, if_match=before.etag)
    assert (after.title, after.description, dict(after.labels)) == ("All orders", "Sums.", {"team": "shop"})
    assert world.functions.get(people.author, "orders") == after
    with pytest.raises(PreconditionFailed):
        world.functions.describe(people.author, "orders", Details(title="Mine"), if_match=before.etag)
    kept = world.functions.describe(people.author, "orders", Details(title="X"), if_match=after.etag)
    assert (kept.description, dict(kept.labels)) == ("Sums.", {"team": "shop"})
    with pytest.raises(Forbidden):
        world.functions.describe(people.reviewer, "orders", Details(title="X"), if_match=kept.etag)


@pytest.mark.parametrize(
    "details",
    [
        Details(title="x" * 101),
        Details(description="x" * 4_001),
        Details(labels={"Upper": "x"}),
        Details(labels={"a": "x" * 201}),
        Details(labels={f"l{number}": "x" for number in range(33)}),
    ],
)
def test_details_have_rules(world: World, people: People, details: Details) -> None:
    make(world, people, "orders")
    with pytest.raises(Invalid):
        world.functions.describe(people.author, "orders", details, if_match="f1")


def test_an_edit_of_details_and_a_freeze_do_not_undo_each_other(world: World, people: People) -> None:
    world.frozen(people.author, "orders")
    function = world.functions.get(people.author, "orders")
    world.functions.describe(people.author, "orders", Details(title="New"), if_match=function.etag)
    world.frozen(people.author, "orders", "x = 2\n")
    after = world.functions.get(people.author, "orders")
    assert (after.title, after.latest, after.etag) == ("New", 2, "f2")


def test_a_restored_function_is_idle_until_it_is_released_again(world: World, people: People) -> None:
    version = world.frozen(people.author, "orders")
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    assert world.gateway.states[-1].routes
    world.functions.remove(people.operator, "orders")
    world.settle()
    assert world.gateway.states[-1].routes == ()
    with pytest.raises(Conflict):
        world.functions.create(people.author, project="main", name="orders")
    restored = world.functions.restore(people.operator, "orders")
    assert world.functions.restore(people.operator, "orders") == restored
    world.settle()
    assert world.gateway.states[-1].routes == ()
    assert world.releases.status(people.operator, "orders").live is None
    world.released(people.operator, version)
    state = world.gateway.states[-1]
    assert "acme/orders" in {route.path for route in state.routes}


def test_only_operators_take_down_and_restore(world: World, people: People) -> None:
    make(world, people, "orders")
    viewer = world.member(people.owner, "vera", Role.VIEWER)
    for actor in (people.author, viewer):
        with pytest.raises(Forbidden):
            world.functions.remove(actor, "orders")
        with pytest.raises(Forbidden):
            world.functions.restore(actor, "orders")
