"""Samples the machine every ten seconds, in a thread of its own: no answer that is late may delay counting.

What a sample is read from is given in; storing it is the meter's loop's, the
one writer of the usage database.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from control_plane.domain.monitoring import Reading
from control_plane.ports import Clock, Telemetry

__all__ = ["PERIOD_S", "Sampler"]

PERIOD_S: Final = 10.0
# Samples that wait while the database does not take them: ten minutes, then the oldest are lost.
_KEPT: Final = 60

_Found = TypeVar("_Found")
Numbers = Callable[[], Mapping[str, float]]


class Sampler:
    """Takes samples; what cannot be read is left out of one and says so once."""

    def __init__(
        self,
        clock: Clock,
        numbers: Mapping[str, Numbers],
        telemetry: Mapping[str, Telemetry],
        report: Callable[[str, str], None],
    ) -> None:
        """`numbers` and `telemetry` are sources by name; `report` is told what fails or is back."""
        self._clock = clock
        self._numbers = numbers
        self._telemetry = telemetry
        self._report = report
        self._taken: deque[Reading] = deque(maxlen=_KEPT)
        self._failing: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """Sample no more; a sample that is being taken is not waited for long."""
        self._stopped.set()
        self._thread.join(timeout=2)

    def taken(self) -> list[Reading]:
        """Return the samples since the last question."""
        found = []
        while self._taken:
            found.append(self._taken.popleft())
        return found

    def give_back(self, readings: list[Reading]) -> None:
        """Keep samples that could not be stored for the next question, as many as there is room for."""
        room = _KEPT - len(self._taken)
        # A full deque would push out the newest.
        self._taken.extendleft(reversed(readings[-room:] if room else []))

    def sample(self) -> Reading:
        """Take one sample now."""
        values: dict[str, float | None] = {}
        for name, read in self._numbers.items():
            values |= self._read(name, read) or {}
        instances: dict[tuple[str, str, str, str], int] = {}
        for name, source in self._telemetry.items():
            running = self._read(name, source.read)
            if running is None:
                continue
            for key, count in running.instances.items():
                instances[key] = instances.get(key, 0) + count
            added = {**running.values, "instances": float(sum(running.instances.values()))}
            for reading, value in added.items():
                values[reading] = (values.get(reading) or 0.0) + value
        return Reading(self._clock.now_ms(), values, instances)

    def _read(self, name: str, read: Callable[[], _Found]) -> _Found | None:
        try:
            found = read()
        except Exception as error:  # noqa: BLE001 - the thread must go on, whatever an answer looks like
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            if self._failing.get(name) is None:
                self._report(f"the monitor cannot read the {name}", reason)
            self._failing[name] = reason
            return None
        if self._failing.pop(name, None) is not None:
            self._report(f"the monitor reads the {name} again", "")
        return found

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._taken.append(self.sample())
            self._stopped.wait(PERIOD_S)
