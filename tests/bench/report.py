"""What a benchmark says: figures of each side, and checks that hold or do not.

Pure but for `machine`, which reads what the figures depend on.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Check", "Report", "Result", "fsync_ms", "percentile"]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0-1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


@dataclass(frozen=True, slots=True)
class Result:
    """Latencies of one side, in milliseconds."""

    side: str
    p50: float
    p95: float
    p99: float
    max: float
    n: int
    errors: int = 0
    # Whatever else the row shows: calls per second, CPU per call, versions, flags.
    more: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(side: str, values_ms: Sequence[float], errors: int = 0, **more: Any) -> Result:
        """Summarise latencies; without any, every figure is NaN and the errors tell why."""
        if not values_ms:
            nan = float("nan")
            return Result(side, nan, nan, nan, nan, 0, errors, more)
        p50, p95, p99, largest = (round(percentile(values_ms, share), 4) for share in (0.5, 0.95, 0.99, 1.0))
        return Result(side, p50, p95, p99, largest, len(values_ms), errors, more)


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: what was measured, what was promised, whether it holds."""

    what: str
    value: float
    goal: str
    holds: bool

    @staticmethod
    def at_most(what: str, value: float, goal: float, unit: str = "") -> Check:
        """Promise `value <= goal`; NaN never holds."""
        return Check(what, round(value, 4), f"<= {goal:g}{unit}", value <= goal)

    @staticmethod
    def at_least(what: str, value: float, goal: float, unit: str = "") -> Check:
        """Promise `value >= goal`; NaN never holds."""
        return Check(what, round(value, 4), f">= {goal:g}{unit}", value >= goal)

    @staticmethod
    def is_true(what: str, holds: bool) -> Check:
        """Promise a plain fact."""
        return Check(what, float(holds), "= 1", holds)


@dataclass(slots=True)
class Report:
    """All that one benchmark prints."""

    name: str
    machine: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def begin(self) -> None:
        """Note the machine's state before the run."""
        self.machine = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0], "fsync_ms": fsync_ms()}

    def end(self) -> None:
        """Note the machine's state after the run."""
        self.machine["load_after"] = os.getloadavg()[0]

    @property
    def holds(self) -> bool:
        """Say whether every check holds; a report without checks does not."""
        return bool(self.checks) and all(check.holds for check in self.checks)

    def document(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        return asdict(self)


def fsync_ms(rounds: int = 20) -> float:
    """Return the median time of a 4 kB write with fsync in the temporary folder, in milliseconds."""
    times = []
    with tempfile.NamedTemporaryFile(dir=Path(tempfile.gettempdir())) as file:
        for _ in range(rounds):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return round(percentile(times, 0.5), 3)
