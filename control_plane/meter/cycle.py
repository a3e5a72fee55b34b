"""One turn of the meter: read both logs, store what they hold, move on.

Order is everything here: the log is made durable, then the rows and the marks
in one transaction, then the mark in memory moves and the disk behind it is freed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from control_plane.meter.assembly import add_access_chunk, add_host_chunk
from control_plane.meter.follower import Chunk, LogFollower
from control_plane.ports import Clock
from control_plane.store.usage_intake import Intake, Step
from control_plane.store.usage_ledger import UsageLedger

__all__ = ["Cycle", "Turn"]

_SMALLEST: Final = 256 * 1024
# About 8,000 lines: the memory that a turn takes stays near 50 MB.
_LARGEST: Final = 4 * 1024 * 1024
# A turn shorter than this may take more at once; a longer one delays the lease and the answer to SIGTERM.
_QUICK_S: Final = 0.25
_SLOW_S: Final = 0.6
# Until there are lines to take the average of.
_USUAL_LINE: Final = 400


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did."""

    lines: int = 0
    calls: int = 0
    rejects: int = 0


class Cycle:
    """The meter's loop body."""

    def __init__(
        self,
        ledger: UsageLedger,
        access: LogFollower,
        host: LogFollower,
        clock: Clock,
        stored: Callable[[Intake], None] = lambda _: None,
    ) -> None:
        """`stored` sees each batch after it was stored; it must not wait and may not fail."""
        self._ledger = ledger
        self._access = access
        self._host = host
        self._clock = clock
        self._stored = stored
        self._limit = _SMALLEST

    def turn(self) -> Turn:
        """Store one batch.

        Raises LogChanged, AnotherWriter, OSError or a database's error; nothing moved then.
        """
        began = time.monotonic()
        intake = Intake(seen_ms=self._clock.now_ms())
        # Calls first: the host's records of what happened before them are then in the same batch.
        access = self._access.read(self._limit)
        host = self._host.read(_SMALLEST)
        lines = 0
        if access:
            found = add_access_chunk(intake, access, self._access.source)
            lines += self._take(intake, self._access, access, found)
        if host:
            found = add_host_chunk(intake, host, self._host.source)
            lines += self._take(intake, self._host, host, found)
        if not intake.steps:
            return Turn()
        calls = self._ledger.write(intake)
        for step in intake.steps:
            follower = self._access if step.after.source == self._access.source else self._host
            follower.advance(step.after)
        self._stored(intake)
        if access:
            self._adapt(len(access.data), time.monotonic() - began)
        return Turn(lines, calls, len(intake.rejects))

    def reload(self) -> None:
        """Take the marks from the database again: after a failure nobody knows whether it committed."""
        marks = self._ledger.marks()
        self._access.mark = marks.get(self._access.source)
        self._host.mark = marks.get(self._host.source)

    def caught_up(self) -> bool:
        """Say whether less than one small batch waits to be counted."""
        return self._access.behind() < _SMALLEST

    def lines_behind(self) -> int:
        """Return about how many lines of the access log are not counted yet."""
        mark = self._access.mark
        line = max(mark.position // mark.lines, 1) if mark and mark.lines else _USUAL_LINE
        return self._access.behind() // line

    def _take(self, intake: Intake, follower: LogFollower, chunk: Chunk, lines: int) -> int:
        follower.settle()
        intake.steps.append(Step(follower.mark, follower.mark_after(chunk, lines)))
        return lines

    def _adapt(self, size: int, took_s: float) -> None:
        if took_s > _SLOW_S:
            self._limit = max(self._limit // 2, _SMALLEST)
        elif took_s < _QUICK_S and size > self._limit // 2:
            self._limit = min(self._limit * 2, _LARGEST)
