"""What the meter does beside counting: a fault in any of it comes again and never stops the counting."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError

from control_plane.adapters.embedded.host_telemetry import HostTelemetry
from control_plane.bootstrap.meter import Meter
from control_plane.domain.monitoring import Reading
from control_plane.meter.main import Loop
from control_plane.meter.sampler import Sampler
from tests.support.clock import FakeClock

LOCKED = OperationalError("INSERT", {}, Exception("database is locked"))
PARTS = ("close_lost_streams", "remove_old", "prune")


class Beside:
    """Stands for what the loop calls beside the cycle; one call fails."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.stored: dict[int, Reading] = {}
        # The database takes the samples, and its answer is lost.
        self.after = False

    def call(self, name: str) -> Callable[[int], int]:
        def done(_: int) -> int:
            self.done.append(name)
            if name in self.failing:
                raise self.failing[name]
            return 0

        return done

    def keep(self, readings: list[Reading]) -> None:
        if "keep" in self.failing and not self.after:
            raise self.failing["keep"]
        self.stored |= {one.at_ms: one for one in readings}
        if "keep" in self.failing:
            raise self.failing["keep"]

    def loop(self, sampler: Sampler, *, keeps_house: bool = True) -> Loop:
        parts = SimpleNamespace(
            cycle=None,
            ledger=SimpleNamespace(close_lost_streams=self.call("close_lost_streams")),
            lease=SimpleNamespace(left_s=lambda: 5),
            sampler=sampler,
            series=SimpleNamespace(keep=self.keep, prune=self.call("prune")),
            series_ms=1_000,
            clock=FakeClock(),
            folders=(),
            remove_old=self.call("remove_old"),
            keeps_house=keeps_house,
        )
        loop = Loop(cast(Meter, parts))
        # As after a turn that was stored.
        loop._failure = ""
        return loop


def a_sampler(host: Callable[[], Any] = lambda: {"targets": {}}) -> Sampler:
    return Sampler(FakeClock(), {}, {"host": HostTelemetry(host)}, lambda _what, _why: None)


@pytest.mark.parametrize("broken", PARTS)
@pytest.mark.parametrize("fault", [LOCKED, OSError(28, "No space left on device")])
def test_a_part_of_tidying_that_fails_keeps_no_other_from_being_done(
    broken: str, fault: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = Beside()
    loop = beside.loop(a_sampler())
    beside.failing[broken] = fault
    loop.tidy()
    assert beside.done == list(PARTS)
    assert capsys.readouterr().err.count("what is over was not removed") == 1


@pytest.mark.parametrize("after", [False, True])
def test_samples_that_the_database_did_not_take_or_answer_are_there_once(after: bool) -> None:
    beside, sampler = Beside(), a_sampler()
    beside.failing, beside.after = {"keep": LOCKED}, after
    loop = beside.loop(sampler)
    sampler.give_back([Reading(1, {}), Reading(2, {})])
    loop.keep_samples()
    beside.failing = {}
    loop.keep_samples()
    assert sorted(beside.stored) == [1, 2]
    assert beside.stored[1].values == {"lag_lines": 0.0, "lease_s": 5.0}
    assert sampler.taken() == []


def test_of_too_many_samples_the_oldest_are_lost() -> None:
    sampler = a_sampler()
    sampler.give_back([Reading(at, {}) for at in range(60)])
    before = sampler.taken()
    sampler.give_back([Reading(60, {})])
    sampler.give_back(before)
    assert [one.at_ms for one in sampler.taken()] == list(range(1, 61))


@pytest.mark.parametrize("answer", [None, {}, {"targets": None}, {"targets": {"t1": {}}}])
def test_a_host_that_answers_nonsense_ends_no_sampling(answer: Any) -> None:
    sample = a_sampler(lambda: answer).sample()
    assert (dict(sample.values), dict(sample.instances)) == ({}, {})


def test_of_several_meters_one_keeps_house() -> None:
    beside = Beside()
    loop = beside.loop(a_sampler(), keeps_house=False)
    loop.tidy()
    assert beside.done == []
