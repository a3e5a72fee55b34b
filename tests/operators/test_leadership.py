"""The election with two operators and a clock that the test turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from operators.cluster import Cluster, Unreachable
from operators.kinds import LEASE
from operators.leadership import Election, NotLeading, Terms
from tests.support.fake_api_server import FakeApiServer


class Time:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with FakeApiServer() as api:
        client = api.client()
        yield client
        client.close()


@pytest.fixture
def time() -> Time:
    return Time()


def election(cluster: Cluster, time: Time, identity: str) -> Election:
    return Election(cluster, Terms("ingot-system", identity), monotonic=time.monotonic, now=time.now)


def test_one_leads_and_the_other_waits(cluster: Cluster, time: Time) -> None:
    first, second = election(cluster, time, "a"), election(cluster, time, "b")
    assert first.attempt()
    assert not second.attempt()
    assert first.fence() == int(time.now().timestamp())
    with pytest.raises(NotLeading):
        second.fence()


def test_renewing_keeps_the_fence_and_the_lead(cluster: Cluster, time: Time) -> None:
    first, second = election(cluster, time, "a"), election(cluster, time, "b")
    first.attempt()
    fence = first.fence()
    for _ in range(10):
        time.seconds += 10
        assert first.attempt()
        assert not second.attempt()
    assert first.fence() == fence


def test_a_leader_that_cannot_renew_stops_before_another_begins(cluster: Cluster, time: Time) -> None:
    first, second = election(cluster, time, "a"), election(cluster, time, "b")
    first.attempt()
    second.attempt()
    old = first.fence()
    time.seconds += 14
    with pytest.raises(NotLeading):
        first.fence()
    assert not second.attempt()
    time.seconds += 2
    assert second.attempt()
    assert second.fence() > old
    assert not first.attempt()


def test_an_election_that_only_just_began_to_look_waits_the_whole_time(cluster: Cluster, time: Time) -> None:
    election(cluster, time, "a").attempt()
    time.seconds += 1_000
    late = election(cluster, time, "b")
    # By its own clock it has seen the lease unchanged for no time yet; clocks of others count for nothing.
    assert not late.attempt()
    time.seconds += 16
    assert late.attempt()


def test_a_new_process_has_a_higher_fence_than_the_one_before(cluster: Cluster, time: Time) -> None:
    first = election(cluster, time, "a")
    first.attempt()
    old = first.fence()
    first.resign()
    second = election(cluster, time, "b")
    assert second.attempt()
    assert second.fence() > old


def test_giving_up_lets_another_lead_at_once(cluster: Cluster, time: Time) -> None:
    first, second = election(cluster, time, "a"), election(cluster, time, "b")
    first.attempt()
    assert not second.attempt()
    first.resign()
    assert second.attempt()
    with pytest.raises(NotLeading):
        first.fence()


def test_a_deleted_lease_never_lowers_the_fence(cluster: Cluster, time: Time) -> None:
    first = election(cluster, time, "a")
    first.attempt()
    old = first.fence()
    cluster.delete(LEASE, "ingot-system", "ingot-operator")
    time.seconds += 1
    second = election(cluster, time, "b")
    assert second.attempt()
    assert second.fence() > old


def test_of_two_that_take_over_at_the_same_time_one_wins(cluster: Cluster, time: Time) -> None:
    first, second = election(cluster, time, "a"), election(cluster, time, "b")
    real = cluster.create

    def both(document: dict[str, object], manager: str) -> dict[str, object]:
        cluster.create = real  # type: ignore[method-assign]
        assert second.attempt()
        return real(document, manager)

    cluster.create = both  # type: ignore[method-assign,assignment]
    assert not first.attempt()
    assert second.fence()


def test_everything_is_looked_at_again_after_the_api_server_was_gone(cluster: Cluster, time: Time) -> None:
    first = election(cluster, time, "a")
    stop, began = Turns(4), []
    real, calls = cluster.get, []

    def sometimes(*place: Any) -> Any:
        calls.append(place)
        if len(calls) == 3:
            raise Unreachable(0, "gone")
        return real(*place)

    cluster.get = sometimes  # type: ignore[method-assign,assignment]
    first.run(stop, lambda: began.append(len(calls)))
    assert began == [1, 4]


class Turns(threading.Event):
    """Set after so many waits, none of which takes time."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left = count

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        if self._left == 0:
            self.set()
        return self.is_set()
