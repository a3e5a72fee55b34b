"""Starts parts in their order; what runs as it should is left alone, what hangs is started anew."""

from __future__ import annotations

from collections.abc import Sequence

from knative.bootstrap import processes
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.part import Part
from knative.bootstrap.plan import Plan
from knative.bootstrap.readiness import wait_until_ready

__all__ = ["Starting"]

# In seconds; what ran before has had its time to begin.
_PATIENCE, _PATIENCE_WITH_OLD = 60.0, 10.0


class Starting:
    """One run's starts; it remembers what it started itself."""

    def __init__(self, plan: Plan, programs: str) -> None:
        self._plan, self._programs = plan, programs
        self._fresh: set[str] = set()

    def start(self, parts: Sequence[Part]) -> None:
        """Start what does not run, each part when those it needs are ready; then wait for all."""
        known = {part.name: part for part in parts}
        for part in parts:
            if self._runs(part):
                continue
            for name in part.needs:
                if name in known:
                    self._wait(known[name])
            self._restart(part)
        for part in parts:
            self._wait(part)

    def _runs(self, part: Part) -> bool:
        there = processes.main_process(self._plan, part.name) is not None
        return there and processes.started_with(self._plan, part.name) == self._key(part)

    def _wait(self, part: Part) -> None:
        """Wait for a part; one that ran before and answers nobody is started anew, once."""
        try:
            wait_until_ready(self._plan, part, _PATIENCE if part.name in self._fresh else _PATIENCE_WITH_OLD)
        except ClusterError:
            if part.name in self._fresh:
                raise
            self._restart(part)
            wait_until_ready(self._plan, part, _PATIENCE)

    def _restart(self, part: Part) -> None:
        processes.stop(self._plan, part)
        processes.start(self._plan, part, self._key(part))
        self._fresh.add(part.name)

    def _key(self, part: Part) -> str:
        return part.key({path: path.read_bytes() for path in part.reads}, self._programs)
