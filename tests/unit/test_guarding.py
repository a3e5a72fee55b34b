"""Guards over the services: they go back, go on, act once, and never against an operator."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from control_plane.domain.release_guards import Action, Figures, Guard
from control_plane.domain.releases import Release
from control_plane.domain.values import ValueKey, ValueKind
from control_plane.errors import Conflict, Invalid, PreconditionFailed
from control_plane.services.guarding import Guards
from control_plane.services.release_plans import Planner
from control_plane.services.releases import ReleaseMoved, Terms, Wish
from tests.support.builders import World
from tests.unit.conftest import People

API_URL = ValueKey(ValueKind.SETTING, "API_URL")
GOOD = Figures(calls=100, failed=0, p95_ms=10)
BAD = Figures(calls=100, failed=30, p95_ms=10)
GUARD = Guard(error_percent=5.0, p95_ms=1_000, window_s=30, watch_s=600)
GROWING = Guard(error_percent=5.0, steps=(50, 100), step_s=60)


class Measured:
    """Stands for the usage rows: what a version did is set, what was asked is kept."""

    def __init__(self) -> None:
        self.figures = GOOD
        self.asked: list[tuple[str, str, int, int]] = []
        self.before: Callable[[], object] = lambda: None

    def __call__(self, function: str, version: str, since_ms: int, until_ms: int) -> Figures:
        self.asked.append((function, version, since_ms, until_ms))
        self.before()
        return self.figures


@pytest.fixture
def measured() -> Measured:
    return Measured()


@pytest.fixture
def two(world: World, people: People) -> World:
    """Version 1 is live; version 2 is approved."""
    for code in ("x = 1\n", "x = 2\n"):
        version = world.frozen(people.author, text=code)
        world.approved(people.author, people.reviewer, version)
        if version.number == 1:
            world.released(people.operator, version)
    return world


def guards_of(world: World, measured: Measured) -> Guards:
    """Return guards that remember nothing, as after a kill."""
    return Guards(world.changes, Planner(world.builder), measured)


def canary(world: World, people: People, guard: Guard = GUARD) -> Release:
    release = world.releases.split(people.operator, "orders", version=2, percent=10, guard=guard)
    world.settle()
    return world.releases.get(people.operator, "orders", release.number)


def shares(release: Release) -> list[tuple[int, int]]:
    return [(part.number, part.percent) for part in release.parts]


def test_a_failing_canary_is_rolled_back_once_with_reason_and_figures(
    two: World, people: People, measured: Measured
) -> None:
    release = canary(two, people)
    assert guards_of(two, measured).look() == ()
    measured.figures = BAD
    (acted,) = guards_of(two, measured).look()
    assert (acted.release, acted.action) == (release.id, Action.ROLL_BACK)
    assert "30.0 % of 100 calls in 30 s failed (30); the guard allows 5 %." in acted.message
    # What was decided stands in the database, so a kill here changes nothing.
    assert guards_of(two, measured).look() == ()
    two.restart_reconciler()
    two.settle()
    back = two.releases.status(people.operator, "orders").live
    assert back is not None
    assert (back.number, back.rollback_of, shares(back)) == (3, 1, [(1, 100)])
    assert (back.created_by, back.created_by_name) == ("system", "Ingot")
    assert "Rolled back by the guard of release 2, values of release 1: 30.0 %" in back.note
    broken = two.releases.get(people.operator, "orders", release.number)
    told = next(one for one in broken.conditions if one.type == "Guarded")
    assert (told.status, told.reason) == (False, "error_rate")
    assert "30.0 %" in told.message
    assert guards_of(two, measured).look() == ()
    entries = [
        one for one in two.audit.entries(people.owner, limit=1_000).items if one.action == "release.guard"
    ]
    assert {one.actor["name"] for one in entries} == {"Ingot"}
    assert release.id in {one.subject for one in entries}
    two.events.sequence()
    types = [event.type for event in two.events.after(people.owner, 0, limit=1_000)]
    assert types.count("dev.ingot.release.guard_breached.v1") == 1


def test_slow_answers_count_too(two: World, people: People, measured: Measured) -> None:
    canary(two, people)
    measured.figures = Figures(calls=20, failed=0, p95_ms=1_001)
    assert guards_of(two, measured).look()[0].message.endswith("was 1001 ms; the guard allows 1000 ms.")


def test_only_the_new_version_is_measured_and_only_since_it_is_live(
    two: World, people: People, measured: Measured
) -> None:
    release = canary(two, people)
    two.clock.advance(seconds=10)
    guards_of(two, measured).look()
    assert release.guard is not None
    assert (release.guard.version, release.guard.back_to) == (release.parts[1].version, 1)
    now = two.clock.now_ms()
    assert measured.asked == [(release.function, release.parts[1].version, release.live_ms, now)]
    two.clock.advance(seconds=60)
    guards_of(two, measured).look()
    assert measured.asked[-1][2:] == (two.clock.now_ms() - 30_000, two.clock.now_ms())


def test_its_watch_ends(two: World, people: People, measured: Measured) -> None:
    canary(two, people)
    measured.figures = BAD
    two.clock.advance(seconds=601)
    assert guards_of(two, measured).look() == ()
    assert measured.asked == []


def test_a_guard_never_acts_against_what_an_operator_just_did(
    two: World, people: People, measured: Measured
) -> None:
    canary(two, people)
    measured.figures = BAD
    measured.before = lambda: two.releases.apply(people.operator, "orders", [Wish(1, 100)], note="mine")
    assert guards_of(two, measured).look() == ()
    measured.before = lambda: None
    assert guards_of(two, measured).look() == (), "a release that is on its way is the operator's"
    two.settle()
    live = two.releases.status(people.operator, "orders").live
    assert live is not None
    assert (live.number, live.note) == (3, "mine")
    assert guards_of(two, measured).look() == ()


def test_a_changed_guard_decides_and_not_the_one_before(
    two: World, people: People, measured: Measured
) -> None:
    release = canary(two, people)
    measured.figures = BAD
    mild = Guard(error_percent=50.0)
    measured.before = lambda: two.releases.set_guard(
        people.operator, "orders", release.number, mild, if_match=release.etag
    )
    assert guards_of(two, measured).look() == ()
    measured.before = lambda: None
    assert guards_of(two, measured).look() == ()
    changed = two.releases.get(people.operator, "orders", release.number)
    assert changed.guard is not None
    assert (changed.guard.error_percent, changed.guard.back_to) == (50.0, 1)
    with pytest.raises(PreconditionFailed):
        two.releases.set_guard(people.operator, "orders", release.number, None, if_match=release.etag)
    off = two.releases.set_guard(people.operator, "orders", release.number, None, if_match=changed.etag)
    assert (off.guard, off.watch_until_ms) == (None, 0)


def test_a_healthy_version_grows_step_by_step_with_the_same_values(
    two: World, people: People, measured: Measured
) -> None:
    canary(two, people, GROWING)
    assert guards_of(two, measured).look() == ()
    seen = []
    for _ in range(2):
        two.clock.advance(seconds=61)
        (acted,) = guards_of(two, measured).look()
        assert acted.action is Action.PROMOTE
        two.settle()
        live = two.releases.status(people.operator, "orders").live
        assert live is not None
        seen.append((live.number, shares(live), live.created_by_name))
    assert seen == [(3, [(1, 50), (2, 50)], "Ingot"), (4, [(2, 100)], "Ingot")]
    two.clock.advance(seconds=61)
    assert guards_of(two, measured).look() == ()
    measured.figures = BAD
    (acted,) = guards_of(two, measured).look()
    two.settle()
    back = two.releases.status(people.operator, "orders").live
    assert back is not None
    assert (back.rollback_of, shares(back)) == (1, [(1, 100)]), "back to what stood before it all"


def test_it_waits_for_calls_before_it_grows(two: World, people: People, measured: Measured) -> None:
    canary(two, people, GROWING)
    measured.figures = Figures(calls=19)
    two.clock.advance(hours=5)
    assert guards_of(two, measured).look() == ()


def test_where_nothing_can_come_back_it_tells_once(two: World, people: People, measured: Measured) -> None:
    release = two.releases.apply(people.operator, "orders", [Wish(2, 100)], guard=GUARD)
    two.settle()
    assert release.guard is not None
    assert release.guard.back_to == 1
    two.versions.retire(people.operator, "orders", 1)
    measured.figures = BAD
    (acted,) = guards_of(two, measured).look()
    assert "It could not be done: The release is refused: Version 1 is retired." in acted.message
    assert guards_of(two, measured).look() == ()
    status = two.releases.status(people.operator, "orders")
    assert (status.live and status.live.number, status.pending) == (release.number, None)
    plan = two.releases.plan(people.operator, "orders", [Wish(2, 100)], guard=GUARD)
    assert plan.guard is not None


def test_a_first_release_can_only_be_told_of(world: World, people: People, measured: Measured) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    plan = world.releases.plan(people.operator, "orders", [Wish(1, 100)], guard=GUARD)
    assert any("could only tell" in one for one in plan.warnings)
    world.releases.apply(people.operator, "orders", [Wish(1, 100)], guard=GUARD)
    world.settle()
    measured.figures = BAD
    (acted,) = guards_of(world, measured).look()
    assert acted.message.endswith("There is no release to go back to.")


def test_a_step_that_is_refused_is_told_once_and_watched_on(
    two: World, people: People, measured: Measured
) -> None:
    canary(two, people, GROWING)
    two.versions.retire(people.operator, "orders", 1)
    two.clock.advance(seconds=61)
    (acted,) = guards_of(two, measured).look()
    assert "Version 1 is retired" in acted.message
    assert guards_of(two, measured).look() == ()
    live = two.releases.status(people.operator, "orders").live
    assert live is not None
    assert live.watch_until_ms > two.clock.now_ms()


def test_a_guard_must_watch_a_version_of_the_release(two: World, people: People) -> None:
    with pytest.raises(Invalid, match="does not hold"):
        two.releases.apply(
            people.operator, "orders", [Wish(2, 100)], guard=Guard(error_percent=1.0, version="1")
        )
    live = two.releases.get(people.operator, "orders", 1)
    wrong = Guard(error_percent=1.0, version="2")
    with pytest.raises(Invalid, match="does not hold"):
        two.releases.set_guard(people.operator, "orders", 1, wrong, if_match=live.etag)
    right = two.releases.set_guard(people.operator, "orders", 1, Guard(error_percent=1.0), if_match=live.etag)
    assert right.guard is not None
    assert (right.guard.version, right.guard.back_to) == (live.parts[0].version, 0)


def test_two_operators_never_overwrite_each_other(two: World, people: People) -> None:
    seen = two.releases.status(people.operator, "orders").etag
    plan = two.releases.plan(people.operator, "orders", [Wish(2, 100)])
    assert (plan.etag, plan.live) == (seen, 1)
    first = two.releases.apply(people.operator, "orders", [Wish(2, 100)], if_match=seen, note="first")
    late: list[Callable[[], object]] = [
        lambda: two.releases.apply(people.owner, "orders", [Wish(1, 100)], if_match=seen),
        lambda: two.releases.split(people.owner, "orders", version=2, percent=10, terms=Terms(if_match=seen)),
        lambda: two.releases.tag(people.owner, "orders", "next", 2, Terms(if_match=seen)),
    ]
    for attempt in late:
        with pytest.raises(ReleaseMoved) as caught:
            attempt()
        told = dict(caught.value.errors)
        assert told["/live"].startswith("Release 1 by omar: version 1 100 %")
        assert told["/pending"] == f"Release {first.number} by omar: version 2 100 %. first"
    assert two.releases.status(people.operator, "orders").pending == first


def test_tags_are_releases_that_leave_the_traffic_alone(two: World, people: People) -> None:
    named = two.releases.tag(people.operator, "orders", "next", 2)
    two.settle()
    assert [(part.number, part.percent, part.tag) for part in named.parts] == [(1, 100, ""), (2, 0, "next")]
    assert named.note == "@next is version 2"
    paths = {route.path for route in two.gateway.states[-1].routes}
    assert {"acme/orders@next", "acme/orders@live"} <= paths
    gone = two.releases.tag(people.operator, "orders", "next", None)
    assert [(part.number, part.percent, part.tag) for part in gone.parts] == [(1, 100, "")]
    two.settle()
    with pytest.raises(Invalid, match="whole function"):
        two.releases.tag(people.operator, "orders", "live", 2)
    with pytest.raises(Invalid, match="whole function"):
        two.releases.tag(people.operator, "orders", "7", 2)
    with pytest.raises(Conflict, match="No version is @next"):
        two.releases.tag(people.operator, "orders", "next", None)


def test_a_split_leaves_the_values_of_the_others_as_they_are(world: World, people: People) -> None:
    for number in (1, 2):
        version = world.frozen(people.author, text=f"x = {number}\n", settings=["API_URL"])
        world.approved(people.author, people.reviewer, version)
    world.settings.put(people.operator, "main", API_URL, "old")
    world.releases.apply(people.operator, "orders", [Wish(1, 100)])
    world.settle()
    world.settings.put(people.operator, "main", API_URL, "new", if_match="v1")
    plan = world.releases.plan_split(people.operator, "orders", version=2, percent=10)
    assert [(one.kind, one.name, one.before, one.after) for one in plan.changes if one.kind == "setting"] == [
        ("setting", "API_URL of version 2", "number 1", "number 2")
    ]
    assert [(one.number, one.allowed, one.reason) for one in plan.approvals] == [
        (1, True, "was_live"),
        (2, True, "approved"),
    ]
    world.releases.split(people.operator, "orders", version=2, percent=10)
    world.settle()
    held = {target.number: target.settings for target in world.runtime.states[-1].targets}
    assert held == {1: {"API_URL": "old"}, 2: {"API_URL": "new"}}
    back = world.releases.plan_rollback(people.operator, "orders")
    assert (
        back.parts[0].bound.settings
        == world.releases.get(people.operator, "orders", 1).parts[0].bound.settings
    )
