"""Tells a thousand open streams, by one look at the database, which organizations anything happened in.

What a stream may show is never decided here: it says only that looking again
would find what the last look found.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from control_plane.services.events import Mark

__all__ = ["Stirrings"]


class Stirrings:
    """The newest mark of each organization, at most `fresh_s` old."""

    def __init__(
        self, look: Callable[[Mapping[str, Mark]], Awaitable[Mapping[str, Mark]]], fresh_s: float
    ) -> None:
        self._look = look
        self._fresh_s = fresh_s
        self._marks: Mapping[str, Mark] = {}
        self._looked_at = float("-inf")
        # Whoever comes first looks for everybody who comes meanwhile.
        self._looking = asyncio.Lock()

    async def of(self, organization: str) -> Mark:
        """Return a mark that differs from the last one if anything happened in the organization since."""
        if time.monotonic() - self._looked_at >= self._fresh_s:
            async with self._looking:
                began = time.monotonic()
                if began - self._looked_at >= self._fresh_s:
                    self._marks = await self._look(self._marks)
                    self._looked_at = began
        return self._marks.get(organization, (0, 0, 0))
