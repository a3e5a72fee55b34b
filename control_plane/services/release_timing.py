"""How long each part of bringing calls to a release took, for whoever traces it. Nothing is decided by it.

Kept in memory alone: after a restart the parts before it are not known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import Final

from control_plane.domain.releases import Release
from control_plane.domain.traces import ReleasePhase, TimedRelease

__all__ = ["ReleaseTimings"]

# While the runtime does not answer, the way begins anew ten times a second.
_MOST: Final = 64


class ReleaseTimings:
    """The parts of the releases that are on their way; several threads may add to them."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._phases: dict[str, list[ReleasePhase]] = {}

    @contextlib.contextmanager
    def phase(self, name: str, releases: Collection[str], target: str = "") -> Iterator[None]:
        """Take the block's time as a part of the way of these releases, unless it fails."""
        start_ms = self._now_ms()
        yield
        done = ReleasePhase(name, start_ms, self._now_ms(), target)
        for release in releases:
            known = self._phases.setdefault(release, [])
            known.append(done)
            del known[:-_MOST]

    def take(self, release: Release, *, live: bool) -> TimedRelease:
        """Return what is known of a release whose way is over, and forget it."""
        return TimedRelease(release, live, self._now_ms(), tuple(self._phases.pop(release.id, ())))

    def keep(self, releases: Collection[str]) -> None:
        """Forget all others: something took their place."""
        for gone in self._phases.keys() - set(releases):
            del self._phases[gone]
