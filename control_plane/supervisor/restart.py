"""When a process that died starts again: at once, then ever more slowly.

Pure: the caller brings the time.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Restarts"]

# A process that lived this long is healthy again, in seconds.
_HEALTHY_S = 10.0
_FIRST_S = 0.05


@dataclass(slots=True)
class Restarts:
    """The restart history of one role. Times are seconds of a monotonic clock."""

    # The longest wait, in seconds.
    longest_s: float = 5.0
    failures: int = 0
    total: int = 0

    def delay(self, lived_s: float) -> float:
        """Return how many seconds to wait before the next start.

        The first death of a healthy process costs no wait, as callers are
        waiting; a process that keeps dying must not eat the machine.
        """
        self.total += 1
        if lived_s >= _HEALTHY_S:
            self.failures = 0
            return 0.0
        self.failures += 1
        return 0.0 if self.failures == 1 else min(_FIRST_S * 2 ** (self.failures - 2), self.longest_s)
