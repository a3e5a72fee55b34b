"""When the gateway may go on: the conditions of the metering lease, and the thread that renews it.

A thread of its own, as neither a long transaction nor a gateway that does not
answer may delay the other. What a lease is made of is the gateway adapter's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from control_plane.ports import Clock

__all__ = ["Health", "LeaseKeeper", "LeaseLimits", "objections"]

# Health that is older was left by a meter that hangs. A turn takes a quarter of a second, and on a
# machine with four times the work that it can do, three.
_FRESH_MS: Final = 10_000
_PERIOD_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Health:
    """How the meter does, as of `at_ms`."""

    at_ms: int
    lines_behind: int
    # Why the last turn failed; empty when it was stored.
    failure: str
    free_bytes: int


@dataclass(frozen=True, slots=True)
class LeaseLimits:
    """From the settings: how long a lease lasts, and when there is none."""

    lease_s: int
    most_lines_behind: int
    least_free_bytes: int


def objections(health: Health, limits: LeaseLimits, now_ms: int) -> list[str]:
    """Return why the gateway must stop answering calls; empty when it may go on."""
    found = []
    if not -_FRESH_MS <= now_ms - health.at_ms <= _FRESH_MS:
        found.append(f"the meter has not finished a turn for {now_ms - health.at_ms} ms")
    if health.failure:
        found.append(f"usage cannot be stored: {health.failure}")
    if health.lines_behind >= limits.most_lines_behind:
        found.append(
            f"{health.lines_behind} lines of the access log wait, {limits.most_lines_behind} are allowed"
        )
    if health.free_bytes < limits.least_free_bytes:
        free, needed = health.free_bytes // 2**20, limits.least_free_bytes // 2**20
        found.append(f"{free} MB of disk are free, {needed} MB are needed")
    return found


class LeaseKeeper:
    """Renews the lease every second while nothing objects."""

    def __init__(
        self,
        renew: Callable[[int], bool],
        limits: LeaseLimits,
        clock: Clock,
        report: Callable[[str, list[str]], None],
    ) -> None:
        self._renew = renew
        self._limits = limits
        self._clock = clock
        self._report = report
        self._health: Health | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._refused: list[str] = []
        self._until = 0

    def left_s(self) -> int:
        """Return for how long the gateway may still answer calls, in seconds."""
        return max(self._until - self._clock.now_ms() // 1000, 0)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more. The running lease stays: a meter that is back before it ends is not noticed."""
        self._stopped.set()
        self._thread.join(timeout=10)

    def observe(self, health: Health) -> None:
        """Note the newest state of the meter."""
        self._health = health

    def consider(self) -> bool:
        """Renew once if nothing objects; say whether it was renewed."""
        health = self._health
        if health is None:
            return False
        now_ms = self._clock.now_ms()
        found = objections(health, self._limits, now_ms)
        if not found:
            until = now_ms // 1000 + self._limits.lease_s
            try:
                self._renew(until)
                self._until = until
            except OSError as error:
                found = [f"the lease cannot be written: {error}"]
        if bool(found) != bool(self._refused):
            self._report("metering lease withheld" if found else "metering lease renewed again", found)
        self._refused = found
        return not found

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.consider()
            self._stopped.wait(_PERIOD_S)
