"""A node is ready when the kubelet that runs now says so."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from knative.bootstrap.node import ready_since_start

_STARTED = dt.datetime(2027, 1, 1, 10, 0, 0, 900_000, tzinfo=dt.UTC)


def a_node(status: str, said: str) -> dict[str, Any]:
    other = {"type": "DiskPressure", "status": "False", "lastHeartbeatTime": "2027-01-01T10:00:05Z"}
    ready = {"type": "Ready", "status": status, "lastHeartbeatTime": said}
    return {"status": {"conditions": [other, ready]}}


@pytest.mark.parametrize(
    ("status", "said", "ready"),
    [
        ("True", "2027-01-01T10:00:00Z", True),
        ("True", "2027-01-01T10:00:07Z", True),
        ("True", "2027-01-01T09:59:59Z", False),
        ("False", "2027-01-01T10:00:07Z", False),
        ("Unknown", "2027-01-01T10:00:07Z", False),
    ],
)
def test_only_the_word_of_the_kubelet_that_runs_now_counts(status: str, said: str, ready: bool) -> None:
    assert ready_since_start(a_node(status, said), _STARTED) is ready


def test_a_node_that_nobody_registered_is_not_ready() -> None:
    assert not ready_since_start({}, _STARTED)
    assert not ready_since_start({"status": {}}, _STARTED)
