"""What guards decide, and how traffic is divided anew: pure rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from control_plane.domain.release_changes import changes_between, warnings_between
from control_plane.domain.release_guards import (
    Action,
    Figures,
    Guard,
    decide,
    next_percent,
    p95_rank,
    watched_until,
)
from control_plane.domain.release_plans import Wish, with_share, with_tag, without_tag
from control_plane.domain.releases import ReleasePart, ReleaseState, Throttle
from control_plane.domain.values import Bound
from control_plane.errors import Conflict, Invalid
from tests.unit.samples import a_part, a_release


@st.composite
def watching(draw: st.DrawFn) -> Guard:
    steps = draw(st.sampled_from([(), (50,), (25, 50, 100)]))
    return Guard(
        error_percent=draw(st.sampled_from([0.5, 5.0, 50.0])),
        p95_ms=draw(st.sampled_from([0, 100, 2_000])),
        min_calls=draw(st.integers(1, 50)),
        steps=steps,
        step_s=60 if steps else 0,
    )


@st.composite
def figures(draw: st.DrawFn) -> Figures:
    calls = draw(st.integers(0, 200))
    return Figures(calls, draw(st.integers(0, calls)), draw(st.integers(0, 5_000)))


@given(watching(), figures(), st.integers(1, 100), st.integers(0, 200_000))
def test_the_decision_is_the_one_that_the_words_say(
    guard: Guard, seen: Figures, percent: int, healthy_ms: int
) -> None:
    verdict = decide(guard, seen, percent=percent, healthy_ms=healthy_ms)
    enough = seen.calls >= guard.min_calls
    failing = enough and seen.failed * 100 > guard.error_percent * seen.calls
    slow = enough and bool(guard.p95_ms) and seen.p95_ms > guard.p95_ms
    later = [step for step in guard.steps if step > percent]
    if failing or slow:
        assert verdict.action is Action.ROLL_BACK
        assert verdict.reason == ("error_rate" if failing else "latency")
        assert str(seen.failed if failing else seen.p95_ms) in verdict.message
    elif enough and later and healthy_ms >= 60_000:
        assert (verdict.action, verdict.percent) == (Action.PROMOTE, later[0])
    else:
        assert verdict.action is Action.WATCH


@given(watching(), figures(), st.integers(0, 50), st.integers(1, 100))
def test_more_failures_never_make_a_guard_milder(
    guard: Guard, seen: Figures, more: int, percent: int
) -> None:
    assume(seen.failed + more <= seen.calls)
    worse = Figures(seen.calls, seen.failed + more, seen.p95_ms)
    before = decide(guard, seen, percent=percent, healthy_ms=10**9).action
    after = decide(guard, worse, percent=percent, healthy_ms=10**9).action
    assert not (before is Action.ROLL_BACK and after is not Action.ROLL_BACK)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"error_percent": 101.0},
        {"error_percent": float("nan")},
        {"error_percent": -1.0},
        {"error_percent": 1.0, "min_calls": 0},
        {"error_percent": 1.0, "window_s": 4},
        {"p95_ms": -1},
        {"p95_ms": 9, "watch_s": 0},
        {"p95_ms": 9, "steps": (50,)},
        {"p95_ms": 9, "step_s": 9},
        {"p95_ms": 9, "steps": (50, 50), "step_s": 9},
        {"p95_ms": 9, "steps": (0, 50), "step_s": 9},
        {"p95_ms": 9, "steps": (50, 101), "step_s": 9},
    ],
)
def test_a_guard_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        Guard(**wrong)


@given(st.integers(1, 10_000))
def test_the_95th_of_a_hundred(count: int) -> None:
    rank = p95_rank(count)
    assert 0 <= rank < count
    # Not more than one in twenty is slower, and one more would be too many.
    assert (count - 1 - rank) * 20 <= count
    assert (count - rank) * 20 > count - 20 or rank == 0
    assert p95_rank(100) == 94


def test_a_growing_release_is_watched_until_it_has_grown() -> None:
    guard = Guard(error_percent=1.0, watch_s=60, steps=(50, 100), step_s=9)
    assert next_percent(guard, 10) == 50
    assert next_percent(guard, 100) == 0
    assert watched_until(guard, 5, [100]) == 60_005
    assert watched_until(guard, 5, [50]) > 60_005
    assert watched_until(None, 5, [50]) == 0


def traffic(*percents: int, tags: tuple[str, ...] = ()) -> list[ReleasePart]:
    named = (*tags, *[""] * len(percents))
    return [
        a_part(number, percent, tag)
        for number, (percent, tag) in enumerate(zip(percents, named, strict=False), start=1)
    ]


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=6).filter(lambda cuts: sum(cuts) > 0),
    st.integers(1, 7),
    st.integers(0, 100),
    st.sampled_from(["", "canary"]),
)
def test_a_share_is_given_exactly_and_the_rest_keeps_its_proportions(
    cuts: list[int], number: int, percent: int, tag: str
) -> None:
    parts = traffic(*[cut * 100 // sum(cuts) for cut in cuts])
    parts = [*parts[:-1], a_part(len(parts), 100 - sum(part.percent for part in parts[:-1]))]
    others = [part for part in parts if part.number != number]
    if percent < 100 and not any(part.percent for part in others):
        with pytest.raises(Conflict):
            with_share(parts, f"ver_{number}", percent, tag)
        return
    wishes = {wish.version: wish for wish in with_share(parts, f"ver_{number}", percent, tag)}
    assert sum(wish.percent for wish in wishes.values()) == 100
    given_share = wishes.get(f"ver_{number}")
    assert (given_share.percent if given_share else 0) == percent
    whole = sum(part.percent for part in others)
    for part in others:
        share = wishes[part.version].percent if part.version in wishes else 0
        exact = part.percent * (100 - percent) / whole if whole else 0
        assert abs(share - exact) < 1


def test_tags_move_and_go_without_touching_traffic() -> None:
    parts = traffic(90, 10, tags=("", "canary"))
    assert with_tag(parts, "ver_1", "canary") == (Wish("ver_1", 90, "canary"), Wish("ver_2", 10, ""))
    assert with_tag(parts, "ver_3", "next")[-1] == Wish("ver_3", 0, "next")
    with pytest.raises(Conflict, match="one tag"):
        with_tag(parts, "ver_2", "stable")
    assert without_tag(parts, "canary") == (Wish("ver_1", 90), Wish("ver_2", 10))
    only_named = [*traffic(100), a_part(2, 0, "next")]
    assert without_tag(only_named, "next") == (Wish("ver_1", 100),)
    with pytest.raises(Conflict, match="No version"):
        without_tag(parts, "next")
    # All calls to the canary: its tag stays, the former version goes.
    assert with_share(parts, "ver_2", 100) == (Wish("ver_2", 100, "canary"),)


def test_what_differs_is_named_one_by_one() -> None:
    old = Bound({"API_URL": "set_1"}, {"TOKEN": "sec_1"}, "sha256:old")
    new = Bound({"API_URL": "set_2"}, {}, "sha256:new")
    one, two = a_part(1, 100), a_part(2, 10, "canary")
    live = a_release(ReleasePart(one.version, 1, one.digest, 100, old, "cpython-3.11.2"))
    parts = [
        ReleasePart(one.version, 1, one.digest, 90, old, "cpython-3.11.9"),
        ReleasePart(two.version, 2, two.digest, 10, new, two.base, "canary"),
    ]
    guard = Guard(error_percent=5.0, p95_ms=9, steps=(50,), step_s=9, version="ver_2", back_to=1)
    found = changes_between(live, parts, Throttle(rate_10s=5), guard, {"set_1": 1, "set_2": 4, "sec_1": 1})
    assert [(one.kind, one.name, one.before, one.after) for one in found] == [
        ("share", "version 1", "100 %", "90 %"),
        ("base", "version 1", "cpython-3.11.2", "cpython-3.11.9"),
        ("share", "version 2", "", "10 %"),
        ("tag", "@canary", "", "version 2"),
        ("setting", "API_URL of version 2", "number 1", "number 4"),
        ("secret", "TOKEN of version 2", "number 1", ""),
        ("limit", "rate_10s", "0", "5"),
        ("guard", "guard", "", "at most 5 % errors, p95 at most 9 ms, from 20 calls in 60 s, then 50 %"),
    ]
    assert changes_between(live, live.parts, live.throttle, None, {}) == ()


def test_warnings_say_what_an_operator_should_know() -> None:
    live = a_release(a_part(2, 90), a_part(3, 10, "canary"))
    guard = Guard(p95_ms=9)
    told = warnings_between(live, a_release(number=7), [a_part(1, 100)], guard, unreviewed=True)
    assert [one for one in told if "Release 7 is on its way" in one]
    assert [one for one in told if "unreviewed" in one]
    assert [one for one in told if "could only tell" in one]
    assert "Version 1 is older than version 3, which is live." in told
    assert "@canary leads nowhere afterwards." in told
    assert warnings_between(live, None, live.parts, None, unreviewed=False) == ()


def test_a_release_is_watched_while_it_is_live_and_no_longer() -> None:
    guard = Guard(error_percent=5.0, watch_s=60, version="ver_1")
    pending = a_release().guarded(guard, 1)
    assert pending.watch_until_ms == 0
    live = pending.went_live(1_000)
    assert live.watch_until_ms == 61_000
    assert live.superseded(2, 2_000).watch_until_ms == 0
    assert live.guarded(None, 2_000).watch_until_ms == 0
    spoken = live.guard_spoke("error_rate", "50 % failed.", 3_000, ends=True)
    assert (spoken.watch_until_ms, spoken.state) == (0, ReleaseState.LIVE)
    assert spoken.etag != live.etag
    with pytest.raises(Conflict, match="superseded"):
        live.superseded(2, 2_000).guarded(guard, 3_000)
