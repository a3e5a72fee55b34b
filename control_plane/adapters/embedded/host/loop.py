"""The event loop of the function host: one epoll, one timer heap, nothing else.

Callbacks must be short and must not block. A callback that fails is logged and
does not end the loop: one target's trouble must not stop another's.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import select
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Loop", "MonotonicClock", "SystemClock", "Timer"]

_log = logging.getLogger(__name__)


class MonotonicClock(Protocol):
    """Both clocks that the host needs; a fake stands in for it in unit tests."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def unix_ms(self) -> int:
        """Return Unix time in milliseconds."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Return seconds of CLOCK_MONOTONIC, the clock of the slot tables."""
        return time.monotonic()

    def unix_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // 1_000_000


class Timer:
    """A pending callback; `cancel` makes it a no-op."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the callback."""
        self.callback = None


class Loop:
    """Descriptors and timers, served by one thread."""

    def __init__(self, clock: MonotonicClock) -> None:
        self.clock = clock
        # Wake-ups since the start: shown by `status`, and proof that warm calls cause none.
        self.wakeups = 0
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._running = False

    def watch(self, descriptor: int, handler: Callable[[int], None], events: int = select.EPOLLIN) -> None:
        """Call `handler(events)` whenever the descriptor is ready (level-triggered)."""
        if descriptor in self._handlers:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def forget(self, descriptor: int) -> None:
        """Stop watching; unknown descriptors are ignored. Call it before closing."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once, `seconds` from now."""
        timer = Timer(self.clock.monotonic() + seconds, callback)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def run(self) -> None:
        """Serve until `stop`."""
        self._running = True
        while self._running:
            self.turn()

    def stop(self) -> None:
        """Leave `run` after the current turn."""
        self._running = False

    def close(self) -> None:
        """Release the epoll descriptor."""
        self._handlers.clear()
        self._epoll.close()

    def turn(self, longest: float | None = None) -> None:
        """Wait for the next event or timer and serve everything that is due."""
        wait = self._until_next_timer()
        if longest is not None:
            wait = longest if wait is None else min(wait, longest)
        try:
            ready = self._epoll.poll(wait, 256)
        except InterruptedError:
            ready = []
        self.wakeups += 1
        for descriptor, events in ready:
            # An earlier handler of this turn may have forgotten this one.
            handler = self._handlers.get(descriptor)
            if handler is not None:
                self._guarded(lambda handler=handler, events=events: handler(events))  # type: ignore[misc]
        self._run_due()

    def _until_next_timer(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - self.clock.monotonic())

    def _run_due(self) -> None:
        now = self.clock.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                self._guarded(callback)

    def _guarded(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:  # noqa: BLE001 - whatever it is, the other targets must go on.
            _log.exception("a callback of the function host failed")
