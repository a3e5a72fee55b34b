"""Reads how long the API's requests took, from the files in which its processes share their series.

The gateway knows a mean alone. Counts begin anew with the role, so differences are taken here.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from control_plane.domain.series import API_BUCKETS, BUCKETS_MS

__all__ = ["ApiDurations"]

_BUCKET = "ingot_http_request_duration_seconds_bucket"


class ApiDurations:
    """The requests by how long they took, since the reading before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counted: list[float] = []

    def __call__(self) -> dict[str, float]:
        """Return the readings by name. Raises OSError while no process of the API has any."""
        counts = self._counts()
        before, self._counted = self._counted, counts
        if not before:
            return {}
        # Fewer than before are a new role's: all of them are new.
        if sum(counts) < sum(before):
            before = [0.0] * len(counts)
        return {
            name: max(0.0, count - old) for name, count, old in zip(API_BUCKETS, counts, before, strict=True)
        }

    def _counts(self) -> list[float]:
        # Slow to import, and only the meter's sampler needs it.
        from prometheus_client.multiprocess import MultiProcessCollector

        files = [str(path) for path in self._folder.glob("histogram_*.db")]
        if not files:
            raise FileNotFoundError(f"{self._folder} holds no series yet")
        found: Counter[float] = Counter()
        for metric in MultiProcessCollector.merge(files, accumulate=False):  # type: ignore[no-untyped-call]
            for sample in metric.samples:
                if sample.name == _BUCKET:
                    found[float(sample.labels["le"])] += sample.value
        bounds = [*(bound / 1_000 for bound in BUCKETS_MS), float("inf")]
        return [float(found[bound]) for bound in bounds]
