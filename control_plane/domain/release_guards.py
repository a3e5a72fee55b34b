"""Guards of releases: when one is healthy, when it must go back, when it may receive more.

Pure decisions over figures; who measures and who acts is decided elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from control_plane.errors import Invalid

__all__ = ["Action", "Figures", "Guard", "Verdict", "decide", "next_percent", "p95_rank", "watched_until"]

# A release that grows is watched until it has all calls; no former release comes back after 30 days.
_LONGEST_WATCH_MS: Final = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Guard:
    """What a release's new version must keep to. 0 means that a figure is not watched."""

    # Share of its calls that fail by the author's or the platform's fault, at most.
    error_percent: float = 0.0
    # 95 of 100 calls are answered at least this fast, the queue included.
    p95_ms: int = 0
    # Fewer calls decide nothing.
    min_calls: int = 20
    # Only calls of the last seconds count.
    window_s: int = 60
    # How long after going live it is watched.
    watch_s: int = 3_600
    # Percentages that it grows to by itself, one after the other.
    steps: tuple[int, ...] = ()
    # How long each step must be healthy before the next.
    step_s: int = 0
    # Id of the version that is watched, and number of the release to go back to; 0 when there is none.
    version: str = ""
    back_to: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.error_percent <= 100:
            raise Invalid("A guard's error_percent is 0 to 100.", field="guard/error_percent")
        bounds = (
            ("p95_ms", 0, 3_600_000),
            ("min_calls", 1, 100_000),
            ("window_s", 5, 3_600),
            ("watch_s", 10, 30 * 86_400),
            ("step_s", 0, 7 * 86_400),
        )
        for field, least, most in bounds:
            if not least <= getattr(self, field) <= most:
                raise Invalid(f"A guard's {field} is {least} to {most}.", field=f"guard/{field}")
        if not self.error_percent and not self.p95_ms:
            raise Invalid(
                "A guard watches errors, latency or both.",
                field="guard",
                hint="Set error_percent, p95_ms or both.",
            )
        self._check_steps()

    def _check_steps(self) -> None:
        rising = all(one < other for one, other in zip(self.steps, self.steps[1:], strict=False))
        if len(self.steps) > 10 or not rising or not all(1 <= step <= 100 for step in self.steps):
            raise Invalid(
                "A guard's steps are up to 10 rising percentages.", field="guard/steps", hint="Use 50, 100."
            )
        if bool(self.steps) != bool(self.step_s):
            raise Invalid("steps and step_s belong together.", field="guard/step_s")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a version did in a window. Calls that callers spoiled, or left, are not among `calls`."""

    calls: int = 0
    failed: int = 0
    p95_ms: int = 0

    @property
    def error_percent(self) -> float:
        """Return the share that failed."""
        return 100 * self.failed / self.calls if self.calls else 0.0


class Action(StrEnum):
    """What a guard asks for."""

    WATCH = "watch"
    ROLL_BACK = "roll_back"
    PROMOTE = "promote"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision with its reason: a word for programs and a sentence with figures."""

    action: Action
    reason: str = ""
    message: str = ""
    # The new share, when it asks for more.
    percent: int = 0


def decide(guard: Guard, figures: Figures, *, percent: int, healthy_ms: int) -> Verdict:
    """Decide over a version that has `percent` of the calls and was live for `healthy_ms`."""
    if figures.calls < guard.min_calls:
        return Verdict(Action.WATCH)
    measured = f"{figures.calls} calls in {guard.window_s} s"
    if guard.error_percent and figures.error_percent > guard.error_percent:
        message = (
            f"{figures.error_percent:.1f} % of {measured} failed ({figures.failed});"
            f" the guard allows {guard.error_percent:g} %."
        )
        return Verdict(Action.ROLL_BACK, "error_rate", message)
    if guard.p95_ms and figures.p95_ms > guard.p95_ms:
        message = f"The p95 of {measured} was {figures.p95_ms} ms; the guard allows {guard.p95_ms} ms."
        return Verdict(Action.ROLL_BACK, "latency", message)
    more = next_percent(guard, percent)
    if more and healthy_ms >= guard.step_s * 1_000:
        message = (
            f"Healthy for {guard.step_s} s at {percent} %: {figures.error_percent:.1f} % of {measured}"
            f" failed, p95 {figures.p95_ms} ms."
        )
        return Verdict(Action.PROMOTE, "healthy", message, more)
    return Verdict(Action.WATCH)


def next_percent(guard: Guard, percent: int) -> int:
    """Return the next larger step, or 0 when there is none."""
    return min((step for step in guard.steps if step > percent), default=0)


def watched_until(guard: Guard | None, live_ms: int, percents: Sequence[int]) -> int:
    """Return until when a release is watched; `percents` is what its watched version receives."""
    if guard is None:
        return 0
    if any(next_percent(guard, percent) for percent in percents):
        return live_ms + _LONGEST_WATCH_MS
    return live_ms + guard.watch_s * 1_000


def p95_rank(count: int) -> int:
    """Return which of `count` sorted figures, counted from 0, is their 95th percentile."""
    return max(math.ceil(count * 0.95) - 1, 0)
