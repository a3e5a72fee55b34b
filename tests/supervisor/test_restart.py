"""When a dead role starts again."""

from __future__ import annotations

from control_plane.supervisor.restart import Restarts


def test_a_healthy_process_starts_again_at_once() -> None:
    restarts = Restarts(failures=5)
    assert restarts.delay(lived_s=60) == 0.0
    assert restarts.failures == 0


def test_a_process_that_keeps_dying_waits_ever_longer_up_to_a_limit() -> None:
    restarts = Restarts()
    delays = [restarts.delay(lived_s=0.1) for _ in range(12)]
    assert delays[:4] == [0.0, 0.05, 0.1, 0.2]
    assert delays == sorted(delays)
    assert delays[-1] == 5.0
    assert restarts.total == 12


def test_what_callers_wait_for_starts_again_sooner() -> None:
    restarts = Restarts(longest_s=0.5)
    assert max(restarts.delay(lived_s=0.1) for _ in range(12)) == 0.5
