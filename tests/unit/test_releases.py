"""Traffic, the release digest, targets and the states of a release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from control_plane.domain.desired import Limits
from control_plane.domain.functions import Declaration
from control_plane.domain.releases import (
    ReleaseState,
    Throttle,
    check_shares,
    limits_of,
    release_digest,
    target_id,
)
from control_plane.domain.values import Bound, MissingValues, bind
from control_plane.errors import Conflict, Invalid
from tests.unit.samples import a_part, a_release, a_value

shares = st.lists(
    st.tuples(st.integers(1, 4), st.integers(-5, 105), st.sampled_from(["", "canary", "live", "beta", "7"])),
    max_size=4,
)


@given(shares)
def test_traffic_is_divided_exactly_or_refused(parts: list[tuple[int, int, str]]) -> None:
    numbers = [number for number, _, _ in parts]
    percents = [percent for _, percent, _ in parts]
    tags = [tag for _, _, tag in parts if tag]
    good = (
        bool(parts)
        and len(set(numbers)) == len(numbers)
        and sum(percents) == 100
        and min(percents) >= 0
        and len(set(tags)) == len(tags)
        and not {"live", "7"} & set(tags)
    )
    if good:
        check_shares(parts)
    else:
        with pytest.raises(Invalid):
            check_shares(parts)


def test_the_digest_ignores_order_and_nothing_else() -> None:
    one, two = a_part(1, 90), a_part(2, 10, "canary")
    digest = release_digest([one, two], Throttle())
    assert release_digest([two, one], Throttle()) == digest
    others = [
        ([replace(one, percent=80), replace(two, percent=20)], Throttle()),
        ([one, replace(two, tag="beta")], Throttle()),
        ([one, replace(two, base="cpython-3.11.9")], Throttle()),
        ([one, replace(two, bound=Bound({}, {}, "sha256:changed"))], Throttle()),
        ([one, replace(two, bound=Bound({}, {"TOKEN": "set_2"}, "sha256:none"))], Throttle()),
        ([one, two], Throttle(instances=2)),
        ([one, two], Throttle(rate_10s=2)),
        ([one, two], Throttle(concurrency=2)),
    ]
    digests = [release_digest(parts, throttle) for parts, throttle in others]
    assert len({digest, *digests}) == len(others) + 1


@given(st.integers(1, 2), st.integers(1, 2), st.sampled_from(["namespaces", "landlock"]))
def test_a_target_is_named_by_its_template_key(number: int, instances: int, isolation: str) -> None:
    first = target_id(a_part(1), "org_1", "namespaces", Limits(instances=1))
    other = target_id(a_part(number), "org_1", isolation, Limits(instances=instances))
    same = (number, instances, isolation) == (1, 1, "namespaces")
    assert (first == other) is same
    assert len(first) == 17
    assert first.startswith("t")
    assert first != target_id(a_part(1), "org_2", "namespaces", Limits(instances=1))


def test_a_release_may_say_how_many_instances() -> None:
    assert limits_of(Limits(instances=4), Throttle()).instances == 4
    assert limits_of(Limits(instances=4), Throttle(instances=9)).instances == 9


def test_states_move_by_named_verbs_only() -> None:
    pending = a_release().progressing("recorded", "Waiting.", 1)
    live = pending.went_live(2)
    assert (live.state, live.live_ms) == (ReleaseState.LIVE, 2)
    assert {one.type: one.status for one in live.conditions} == {"Progressing": False, "Ready": True}
    ended = live.superseded(2, 3)
    assert (ended.state, ended.ended_ms) == (ReleaseState.SUPERSEDED, 3)
    failed = pending.failed("import_failed", "No module named x.", 4)
    assert failed.state is ReleaseState.FAILED
    assert [one.reason for one in failed.conditions if one.type == "Failed"] == ["import_failed"]
    wrongs: tuple[Callable[[], object], ...] = (
        lambda: live.went_live(5),
        lambda: live.failed("x", "y", 5),
        lambda: ended.superseded(3, 5),
        lambda: failed.superseded(3, 5),
    )
    for wrong in wrongs:
        with pytest.raises(Conflict):
            wrong()


_NEEDS = Declaration(settings=("API_URL",), secrets=("TOKEN",))


def test_the_newest_value_of_each_name_is_bound() -> None:
    values = [
        a_value(content="new", number=2),
        a_value(),
        a_value("TOKEN", "sealed", secret=True),
        a_value("SPARE"),
    ]
    bound = bind(_NEEDS, values)
    assert bound.settings == {"API_URL": "set_API_URL_2"}
    assert bound.secrets == {"TOKEN": "set_TOKEN_1"}


def test_every_missing_name_is_listed() -> None:
    gone = replace(a_value(number=2), removed=True)
    with pytest.raises(MissingValues, match="setting API_URL, secret TOKEN") as caught:
        bind(_NEEDS, [a_value(), gone, a_value("TOKEN")])
    assert [pointer for pointer, _ in caught.value.errors] == ["/settings/API_URL", "/secrets/TOKEN"]


@given(st.text(max_size=5), st.text(max_size=5))
def test_the_epoch_changes_with_any_value(one: str, other: str) -> None:
    assume(one != other)
    needs = Declaration(settings=("API_URL",))
    same = bind(needs, [a_value(content=one, number=3)]).epoch
    assert bind(needs, [a_value(content=one)]).epoch == same
    assert bind(needs, [a_value(content=other)]).epoch != same
