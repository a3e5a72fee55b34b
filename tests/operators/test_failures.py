"""Reasons from pods, as the kubelet of a real cluster words them."""

from __future__ import annotations

from typing import Any

import pytest

from operators.failures import failure_of, quota_failure


def pod(container: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    listed = [{"name": "user-container", **container}] if container else []
    return {"metadata": {}, "status": {"containerStatuses": listed, **status}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return pod({"state": {"waiting": {"reason": reason, "message": message}}})


def ended(code: int, reason: str = "Error", message: str = "", restarts: int = 0) -> dict[str, Any]:
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    last = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return pod({"state": state, "lastState": last, "restartCount": restarts})


UNSCHEDULABLE = pod(
    conditions=[
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient memory.",
        }
    ]
)
READY = pod(conditions=[{"type": "Ready", "status": "True"}])


@pytest.mark.parametrize(
    ("found", "reason", "words", "passing"),
    [
        (waiting("ErrImagePull", "manifest unknown"), "ImageMissing", "not in the registry", False),
        (waiting("ImagePullBackOff", "repo@sha256:1: not found"), "ImageMissing", "not found", False),
        (waiting("ErrImagePull", "401 Unauthorized"), "ImageForbidden", "does not let", False),
        (waiting("ErrImagePull", "connection refused"), "ImagePullFailed", "connection refused", True),
        (waiting("InvalidImageName"), "ImagePullFailed", "cannot be used", True),
        (
            waiting("CreateContainerConfigError", 'secret "orders-values" not found'),
            "ValueMissing",
            "orders-values",
            False,
        ),
        (waiting("CreateContainerError", "boom"), "StartFailed", "boom", True),
        (ended(137, "OOMKilled"), "OutOfMemory", "more memory than its limit", False),
        (
            ended(1, message="Traceback\nZeroDivisionError: division by zero\n", restarts=3),
            "Crashed",
            "3 times with exit code 1: ZeroDivisionError: division by zero",
            False,
        ),
        (ended(1), "Crashed", "it wrote nothing", False),
        (
            ended(1, message='noise\n{"code": "import_failed", "message": "No module named x"}'),
            "ImportFailed",
            "No module named x",
            False,
        ),
        (ended(1, message='{"code": "QuotaExceeded", "message": "pay me"}'), "Crashed", "pay me", False),
        (ended(1, message="[1]"), "Crashed", "[1]", False),
        (UNSCHEDULABLE, "Unschedulable", "Insufficient memory", True),
        (pod(phase="Failed", reason="Evicted", message="low on disk"), "Evicted", "low on disk", True),
    ],
)
def test_a_pod_says_at_once_why_it_does_not_serve(
    found: dict[str, Any], reason: str, words: str, passing: bool
) -> None:
    failure = failure_of([found])
    assert failure is not None
    assert failure.reason == reason
    assert words in failure.message
    assert failure.passing is passing


@pytest.mark.parametrize(
    "found",
    [
        [],
        [pod()],
        [waiting("ContainerCreating")],
        [waiting("PodInitializing")],
        [ended(1), READY],
        [ended(1) | {"metadata": {"deletionTimestamp": "2026-11-23T00:00:00Z"}}],
    ],
)
def test_what_starts_or_serves_or_ends_has_not_failed(found: list[dict[str, Any]]) -> None:
    assert failure_of(found) is None


def test_what_needs_a_change_is_said_before_what_may_pass() -> None:
    failure = failure_of([UNSCHEDULABLE, ended(1)])
    assert failure is not None
    assert failure.reason == "Crashed"


def test_a_message_is_one_line_of_bounded_length() -> None:
    failure = failure_of([ended(1, message="x" * 5_000)])
    assert failure is not None
    assert len(failure.message) == 1_000
    assert "\n" not in failure.message


def test_a_used_up_quota_is_named() -> None:
    message = 'pods "orders-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2'
    failure = quota_failure([{"type": "ReplicaFailure", "status": "True", "message": message}])
    assert failure is not None
    assert failure.reason == "QuotaExceeded"
    assert "exceeded quota: small" in failure.message


def test_pods_that_a_policy_forbids_are_refused() -> None:
    failure = quota_failure([{"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity"}])
    assert failure is not None
    assert failure.reason == "PodsRefused"


def test_a_deployment_that_makes_pods_has_no_failure() -> None:
    assert quota_failure([{"type": "Available", "status": "True"}]) is None
    assert quota_failure([{"type": "ReplicaFailure", "status": "False"}]) is None
