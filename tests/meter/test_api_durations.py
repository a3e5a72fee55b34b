"""How long the API's requests took, read from the files of processes that served them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from control_plane.adapters.embedded.api_durations import ApiDurations
from control_plane.domain.series import API_BUCKETS, quantiles

SERVE = """
import sys
from control_plane.api.metrics import Metrics
durations = Metrics().durations
for route, seconds in (("/a", 0.0004), ("/b", 0.02), ("/b", 0.02), ("/b", 99)):
    durations.labels("GET", route).observe(seconds)
"""


def serve(folder: Path) -> None:
    """Let one process of the API, which is over when this returns, answer four requests."""
    folder.mkdir(exist_ok=True)
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", SERVE], env=environment, cwd=root, check=True, timeout=60)


def test_durations_of_all_processes_are_taken_as_differences(tmp_path: Path) -> None:
    folder = tmp_path / "api-metrics"
    read = ApiDurations(folder)
    with pytest.raises(FileNotFoundError):
        read()
    serve(folder)
    assert read() == {}, "how long ago these were is not known"
    serve(folder)
    first = read()
    assert {name: count for name, count in first.items() if count} == {
        "api_bucket_0": 1.0,
        "api_bucket_4": 2.0,
        "api_bucket_14": 1.0,
    }
    assert set(read().values()) == {0.0}
    for path in folder.iterdir():
        path.unlink()
    serve(folder)
    assert read() == first, "a new role counts from nothing"


def test_the_quantile_of_means_is_that_of_the_sums() -> None:
    sums = [3.0, 0.0, 7.0] + [0.0] * (len(API_BUCKETS) - 3)
    means = [one / 7 for one in sums]
    assert quantiles(means, (0.5, 0.95)) == quantiles(sums, (0.5, 0.95))
