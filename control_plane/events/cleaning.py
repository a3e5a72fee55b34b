"""The worker's clean-up: a thread of its own, so that releases never wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from control_plane.domain.retention import Removal
from control_plane.process import log_to_stderr

__all__ = ["Cleaning"]

# A start has more urgent things to do.
_FIRST_S: Final = 60.0


class Cleaning:
    """Removes what is over every so often; looks at content less often, as that reads every version."""

    def __init__(
        self,
        rows: Callable[[], Iterable[Removal]],
        content: Callable[[], Iterable[Removal]],
        *,
        every_s: float,
        content_every_s: float,
    ) -> None:
        self._rows, self._content = rows, content
        self._every_s = max(every_s, 1.0)
        self._content_turns = max(round(content_every_s / self._every_s), 1)

    def start(self, stop: threading.Event) -> None:
        """Clean until `stop`; the thread ends with the process."""
        threading.Thread(target=self._run, args=(stop,), name="cleaning", daemon=True).start()

    def turn(self, number: int) -> None:
        """Do what is due in this turn; a failing part is logged and tried again in its next."""
        self._part(self._rows)
        if number % self._content_turns == 0:
            self._part(self._content)

    def _run(self, stop: threading.Event) -> None:
        pause, number = min(_FIRST_S, self._every_s), 0
        while not stop.wait(pause):
            self.turn(number)
            pause, number = self._every_s, number + 1

    def _part(self, clean: Callable[[], Iterable[Removal]]) -> None:
        try:
            removed = {one.kind: one.count for one in clean() if one.count}
        except Exception as error:  # noqa: BLE001 - whatever it met, the rest of the worker goes on
            log_to_stderr("worker", "error", "a clean-up failed", error=repr(error))
            return
        if removed:
            log_to_stderr("worker", "info", "removed what was over", **removed)
