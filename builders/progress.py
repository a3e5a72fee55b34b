"""How a long step tells its caller what it is doing, and how long each phase took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["PHASES", "Phases", "Progress", "no_progress"]

Progress = Callable[[str], None]

# Every name that a callback can be called with.
PHASES = ("resolve", "install", "dependency layer", "source layer", "unpack", "sbom", "image")


def no_progress(phase: str) -> None:
    """Take no notice."""


class Phases:
    """Announces phases and sums their durations in milliseconds."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.timings_ms: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Announce a phase and time what happens inside."""
        self._progress(name)
        started = time.monotonic()
        try:
            yield
        finally:
            passed = (time.monotonic() - started) * 1000
            self.timings_ms[name] = self.timings_ms.get(name, 0.0) + passed
