"""The machine's time and randomness."""

from __future__ import annotations

import secrets
import time

__all__ = ["SystemClock", "SystemEntropy"]


class SystemClock:
    """The Clock port over the system's time."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // 1_000_000


class SystemEntropy:
    """The Entropy port over the kernel's generator."""

    def bits(self, count: int) -> int:
        """Return `count` random bits."""
        return secrets.randbits(count)
