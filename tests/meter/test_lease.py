"""The lease is renewed only while every call can be counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control_plane.meter.lease import Health, LeaseKeeper, LeaseLimits, objections

LIMITS = LeaseLimits(lease_s=5, most_lines_behind=1_000, least_free_bytes=256 * 2**20)
NOW = 1_760_000_000_500
WELL = Health(at_ms=NOW, lines_behind=0, failure="", free_bytes=2**30)


class FixedClock:
    def __init__(self) -> None:
        self.ms = NOW

    def now_ms(self) -> int:
        return self.ms


class Gateway:
    def __init__(self) -> None:
        self.until: list[int] = []
        self.error: OSError | None = None

    def renew(self, until: int) -> bool:
        if self.error:
            raise self.error
        self.until.append(until)
        return True


class Keeper:
    def __init__(self) -> None:
        self.clock = FixedClock()
        self.gateway = Gateway()
        self.said: list[tuple[str, list[str]]] = []
        self.keeper = LeaseKeeper(
            self.gateway.renew,
            LIMITS,
            self.clock,
            lambda message, reasons: self.said.append((message, reasons)),
        )


@pytest.mark.parametrize(
    ("health", "part"),
    [
        (replace(WELL, lines_behind=1_000), "1000 lines of the access log wait, 1000 are allowed"),
        (replace(WELL, failure="database or disk is full"), "cannot be stored: database or disk is full"),
        (replace(WELL, free_bytes=255 * 2**20), "255 MB of disk are free, 256 MB are needed"),
        (replace(WELL, at_ms=NOW - 10_001), "has not finished a turn for 10001 ms"),
        # A clock that was set back must not make old health look fresh for hours.
        (replace(WELL, at_ms=NOW + 10_001), "has not finished a turn"),
    ],
)
def test_each_condition_alone_withholds_the_lease(health: Health, part: str) -> None:
    (reason,) = objections(health, LIMITS, NOW)
    assert part in reason


def test_nothing_objects_at_the_limits() -> None:
    edge = Health(NOW - 10_000, 999, "", 256 * 2**20)
    assert objections(edge, LIMITS, NOW) == []


def test_a_lease_lasts_from_the_moment_of_renewal() -> None:
    world = Keeper()
    assert not world.keeper.consider()
    world.keeper.observe(WELL)
    assert world.keeper.consider()
    world.clock.ms += 2_000
    assert world.keeper.consider()
    assert world.gateway.until == [1_760_000_005, 1_760_000_007]


def test_a_meter_that_hangs_lets_the_lease_lapse_and_says_so_once() -> None:
    world = Keeper()
    world.keeper.observe(WELL)
    world.keeper.consider()
    world.clock.ms += 11_000
    assert not world.keeper.consider()
    world.clock.ms += 1_000
    assert not world.keeper.consider()
    world.keeper.observe(replace(WELL, at_ms=world.clock.ms))
    assert world.keeper.consider()
    assert [message for message, _ in world.said] == [
        "metering lease withheld",
        "metering lease renewed again",
    ]
    assert len(world.gateway.until) == 2


def test_a_lease_that_cannot_be_written_is_an_objection() -> None:
    world = Keeper()
    world.keeper.observe(WELL)
    world.gateway.error = OSError(28, "No space left on device")
    assert not world.keeper.consider()
    assert "No space left on device" in world.said[0][1][0]
    world.gateway.error = None
    assert world.keeper.consider()


def test_the_thread_renews_until_it_is_stopped() -> None:
    world = Keeper()
    world.keeper.observe(WELL)
    world.keeper.start()
    world.keeper.stop()
    assert world.gateway.until == [1_760_000_005]
