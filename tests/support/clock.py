"""A clock that moves only when a test says so."""

from __future__ import annotations

__all__ = ["FakeClock"]


class FakeClock:
    """The Clock port; begins on 1 June 2026."""

    def __init__(self, now_ms: int = 1_780_272_000_000) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        """Return the time that the test set."""
        return self.ms

    def advance(self, *, days: int = 0, hours: int = 0, seconds: int = 0, ms: int = 0) -> None:
        """Move on."""
        self.ms += ((days * 24 + hours) * 3_600 + seconds) * 1_000 + ms
