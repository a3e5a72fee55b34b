"""Why a pod does not run, in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from knative.bootstrap.pods import waiting


def a_pod(
    *containers: dict[str, Any], conditions: tuple[dict[str, Any], ...] = (), phase: str = "Pending"
) -> Any:
    status = {"phase": phase, "containerStatuses": list(containers), "conditions": list(conditions)}
    return {"metadata": {"name": "webhook-1"}, "status": status}


_PULL = {"ready": False, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
_CRASH = {
    "ready": False,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
    "lastState": {
        "terminated": {"reason": "Error", "exitCode": 2, "message": "flag provided but not defined"}
    },
}
_UNSCHEDULED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no memory"}
_READY = {"type": "Ready", "status": "True"}


@pytest.mark.parametrize(
    ("pod", "sentence"),
    [
        (a_pod(_PULL), "webhook-1: ImagePullBackOff not found"),
        (a_pod(_CRASH), "webhook-1: Error with code 2 flag provided but not defined"),
        (a_pod(conditions=(_UNSCHEDULED,)), "webhook-1: Unschedulable no memory"),
        (a_pod(), "webhook-1: Pending"),
        ({"metadata": {"name": "new"}}, "new: unknown"),
    ],
)
def test_the_reason_nearest_to_the_cause_is_said(pod: dict[str, Any], sentence: str) -> None:
    assert waiting([pod]) == [sentence]


def test_pods_that_run_or_are_done_are_not_named() -> None:
    assert (
        waiting([a_pod({"ready": True, "state": {"running": {}}}, conditions=(_READY,), phase="Running")])
        == []
    )
    assert waiting([a_pod(phase="Succeeded")]) == []
