"""Crash-loop back-off: pure, fed with times, knows no processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Backoff"]

# One death may be bad luck (a hostile request, the memory limit): the next
# connection starts anew at once. From the second in a row on, it is a loop.
_FREE_FAILURES = 1
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 60.0


@dataclass(slots=True)
class Backoff:
    """How long a target must wait before its next start.

    `random` returns a number in [0, 1): jitter keeps targets that fail for a
    shared reason from starting again in step.
    """

    random: Callable[[], float]
    failures: int = 0
    retry_at: float = field(default=0.0)

    def failed(self, now: float, *, certain: bool = False) -> float:
        """Note a failure and return the delay. `certain` failures (an import error) wait at once."""
        self.failures += 1
        counted = self.failures if certain else self.failures - _FREE_FAILURES
        if counted <= 0:
            return 0.0
        # The exponent is capped, as a float overflows after a thousand failures.
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(counted - 1, 16))
        delay *= 0.75 + 0.5 * self.random()
        self.retry_at = now + delay
        return delay

    def succeeded(self) -> None:
        """Forget earlier failures."""
        self.failures = 0
        self.retry_at = 0.0

    def waits(self, now: float) -> float:
        """Return the seconds until the next start is allowed; 0 when it is."""
        return max(0.0, self.retry_at - now)
