"""Numbers over time: what one call adds to them, quantiles from buckets, and the span that is asked for.

Pure. What a call counts as is decided in metering.py; keeping rows happens in the store.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from control_plane.domain.metering import FAULT_OF, Fault, StreamState, UsageEvent
from control_plane.errors import Invalid

__all__ = ["API_BUCKETS", "BUCKETS_MS", "MINUTE_MS", "SUMS", "Span", "of_event", "quantiles", "span_of"]

MINUTE_MS: Final = 60_000
# Upper bounds of the buckets of durations, in milliseconds; one more bucket holds all above.
# They begin at 1, as a warm call takes about that.
BUCKETS_MS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)
# What is summed, in the order of `of_event`.
SUMS: Final = (
    "calls",
    "caller_faults",
    "author_faults",
    "platform_faults",
    "cold_calls",
    "queue_ms",
    "duration_ms",
    *(f"bucket_{number}" for number in range(len(BUCKETS_MS) + 1)),
)
# The API's requests of a sample, by the same bounds.
API_BUCKETS: Final = tuple(f"api_bucket_{number}" for number in range(len(BUCKETS_MS) + 1))
_FIRST_BUCKET: Final = SUMS.index("bucket_0")
_FAULTS: Final = {Fault.CALLER: 1, Fault.AUTHOR: 2, Fault.PLATFORM: 3}
_MOST_POINTS: Final = 1_500


@dataclass(frozen=True, slots=True)
class Span:
    """From `start_ms` until before `end_ms`, in steps; both ends lie on steps."""

    start_ms: int
    end_ms: int
    step_ms: int

    def steps(self) -> range:
        """Return the first millisecond of each step."""
        return range(self.start_ms, self.end_ms, self.step_ms)


def of_event(event: UsageEvent) -> list[int]:
    """Return what an event adds to the sums, in the order of SUMS.

    Only calls that an instance worked on, and that have ended, have a duration.
    """
    sums = [0] * len(SUMS)
    sums[0] = 1
    place = _FAULTS.get(FAULT_OF[event.outcome])
    if place is not None:
        sums[place] = 1
    if event.ready_ms:
        sums[4] = 1
    sums[5] = max(event.call.queue_ms, 0)
    if event.call.connect_ms >= 0 and event.call.target and event.stream is not StreamState.OPEN:
        duration = event.ended_ms - event.dispatched_ms
        sums[6] = duration
        sums[_FIRST_BUCKET + bisect_left(BUCKETS_MS, duration)] = 1
    return sums


def quantiles(buckets: Sequence[float], parts: Sequence[float]) -> list[float] | None:
    """Return, for each of `parts`, the duration that this part of the calls stayed within; None without any.

    Within a bucket the calls are taken as spread evenly; above the last bound its bound is all that is known.
    """
    within = list(accumulate(buckets))
    if within[-1] <= 0:
        return None
    return [_reached(buckets, within, part * within[-1]) for part in parts]


def _reached(buckets: Sequence[float], within: Sequence[float], wanted: float) -> float:
    """Return the duration within which `wanted` calls stayed; `within` counts the calls up to each bound."""
    number = bisect_left(within, wanted)
    if number >= len(BUCKETS_MS):
        return float(BUCKETS_MS[-1])
    lower = BUCKETS_MS[number - 1] if number else 0
    before = within[number] - buckets[number]
    return round(lower + (BUCKETS_MS[number] - lower) * (wanted - before) / buckets[number], 1)


def span_of(start_ms: int, end_ms: int, step_s: int, *, shortest_s: int) -> Span:
    """Return the span in steps of `step_s`, widened to whole steps; 0 picks a step for a readable number.

    Raises Invalid for an empty span, a step that the series do not have and too many points.
    """
    if not 0 <= start_ms < end_ms:
        raise Invalid("The time span is empty.", field="/from", hint="Let “from” lie before “to”.")
    shortest = shortest_s * 1_000
    step = step_s * 1_000 or _readable_step(end_ms - start_ms, shortest)
    if step < shortest or step % shortest:
        raise Invalid(
            f"This series has a point every {shortest_s} s.",
            field="/step",
            hint=f"Use a multiple of {shortest_s}.",
        )
    span = Span(start_ms // step * step, -(-end_ms // step) * step, step)
    if len(span.steps()) > _MOST_POINTS:
        raise Invalid(
            f"That would be {len(span.steps())} points; {_MOST_POINTS} are the most.",
            field="/step",
            hint="Use a longer step or a shorter span.",
        )
    return span


def _readable_step(length_ms: int, shortest_ms: int) -> int:
    """Return the shortest step that makes at most about 60 points: as many as a chart can tell apart."""
    for factor in (1, 2, 3, 5, 6, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1_440):
        if length_ms / (shortest_ms * factor) <= 60:
            return shortest_ms * factor
    return shortest_ms * 1_440
