"""The relay: publishes events that consumers wait for, in a thread of its own, so that releases never wait.

What is due and who wants it is the services' business; how it travels is the broker's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

from control_plane.domain.events import Event
from control_plane.ports import Broker
from control_plane.process import log_to_stderr

__all__ = ["Relay"]

_LOOK_S: Final = 1.0
# Who was subscribed is said again this often, as somebody may have changed it.
_SUBSCRIBE_S: Final = 60.0


class Waiting(Protocol):
    """What the relay asks: `services.deliveries.Deliveries`."""

    @property
    def wanted(self) -> Mapping[str, Collection[str]]:
        """Consumers by name, with the types that each wants."""
        ...

    def claim(self) -> tuple[Event, ...]:
        """Return events to publish now."""
        ...


class Relay:
    """Publishes what is due; what fails is said once and tried again."""

    def __init__(self, waiting: Waiting, broker: Broker, clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting, self._broker, self._clock = waiting, broker, clock
        self._woken = threading.Event()
        self._subscribed_at: float | None = None
        self._trouble = ""

    def start(self, stop: threading.Event) -> None:
        """Publish until `stop`; the thread ends with the process."""
        threading.Thread(target=self._run, args=(stop,), name="relay", daemon=True).start()

    def wake(self) -> None:
        """Look soon: an event got its place."""
        self._woken.set()

    def turn(self) -> None:
        """Publish what is due now. Events that the broker does not take come again when they are due."""
        trouble = ""
        try:
            self._subscribe()
            for event in self._waiting.claim():
                try:
                    self._broker.publish(event)
                except Exception as error:  # noqa: BLE001 - one event never stands in the way of the others
                    trouble = f"events cannot be published: {error}"
        except Exception as error:  # noqa: BLE001 - whatever it met, the relay goes on
            trouble = f"the relay failed: {error}"
        if trouble != self._trouble:
            self._trouble = trouble
            log_to_stderr("worker", "error" if trouble else "info", trouble or "events are published again")

    def _subscribe(self) -> None:
        now = self._clock()
        if self._subscribed_at is None or now - self._subscribed_at >= _SUBSCRIBE_S:
            self._broker.subscribe(self._waiting.wanted)
            self._subscribed_at = now

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._woken.clear()
            self.turn()
            self._woken.wait(_LOOK_S)
