"""Why a version does not start, from its pods at once instead of Knative's deadline minutes later. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Failure", "failure_of", "quota_failure"]

_MESSAGE: Final = 1_000
_CONTAINER: Final = "user-container"


@dataclass(frozen=True, slots=True)
class Failure:
    """A reason that programs compare and a sentence that people act on."""

    reason: str
    message: str
    # Repeating it may help without a change by anybody.
    passing: bool = False


# Waiting reason of the kubelet -> (our reason, what to say before its own words).
_WAITING: Final = {
    "ErrImagePull": ("ImagePullFailed", "The image cannot be pulled"),
    "ImagePullBackOff": ("ImagePullFailed", "The image cannot be pulled"),
    "ErrImageNeverPull": ("ImagePullFailed", "The image is not on the node"),
    "RegistryUnavailable": ("ImagePullFailed", "The registry does not answer"),
    "InvalidImageName": ("ImagePullFailed", "The image's name cannot be used"),
    "ImageInspectError": ("ImagePullFailed", "The image cannot be read"),
    "CreateContainerConfigError": ("ValueMissing", "A setting or secret is missing"),
    "CreateContainerError": ("StartFailed", "The container cannot be made"),
    "RunContainerError": ("StartFailed", "The container cannot be started"),
}
_MISSING_IMAGE: Final = re.compile(r"not found|manifest unknown|does not exist", re.IGNORECASE)
_FORBIDDEN_IMAGE: Final = re.compile(r"unauthorized|denied|forbidden|authentication", re.IGNORECASE)


def failure_of(pods: Iterable[Mapping[str, Any]]) -> Failure | None:
    """Return why a version's pods do not serve; None when one does or none has failed yet."""
    found: list[Failure] = []
    for pod in pods:
        if pod.get("metadata", {}).get("deletionTimestamp"):
            continue
        status = pod.get("status", {})
        if _is_ready(status):
            return None
        failure = _unschedulable(status) or _refused(status) or _container_failure(status)
        if failure is not None:
            found.append(failure)
    # What only somebody's change can mend is worth more than what may pass.
    return min(found, key=lambda one: one.passing, default=None)


def quota_failure(conditions: Iterable[Mapping[str, Any]]) -> Failure | None:
    """Return that pods cannot be made at all, which a Deployment says in its conditions."""
    for one in conditions:
        if one.get("type") == "ReplicaFailure" and one.get("status") == "True":
            message = str(one.get("message", ""))
            if "exceeded quota" in message:
                return Failure("QuotaExceeded", _cut(f"The namespace's quota is used up: {message}"))
            return Failure("PodsRefused", _cut(f"The cluster makes no pods for it: {message}"))
    return None


def _is_ready(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions", ())
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _unschedulable(status: Mapping[str, Any]) -> Failure | None:
    for one in status.get("conditions", ()):
        if one.get("type") == "PodScheduled" and one.get("reason") == "Unschedulable":
            return Failure("Unschedulable", _cut(f"No node has room for it: {one.get('message', '')}"), True)
    return None


def _refused(status: Mapping[str, Any]) -> Failure | None:
    """Return why a node gave the whole pod up, for example an eviction."""
    if status.get("phase") != "Failed" or not status.get("reason"):
        return None
    return Failure(str(status["reason"]), _cut(f"The node gave it up: {status.get('message', '')}"), True)


def _container_failure(status: Mapping[str, Any]) -> Failure | None:
    for container in status.get("containerStatuses", ()):
        state, last = container.get("state", {}), container.get("lastState", {})
        waiting = state.get("waiting", {})
        name = str(container.get("name", ""))
        if waiting.get("reason") in _WAITING:
            return _waiting_failure(waiting)
        ended = state.get("terminated") or last.get("terminated")
        if ended and (name == _CONTAINER or ended.get("exitCode")):
            return _ended_failure(ended, int(container.get("restartCount", 0)))
    return None


def _waiting_failure(waiting: Mapping[str, Any]) -> Failure:
    reason, words = _WAITING[str(waiting["reason"])]
    message = str(waiting.get("message", ""))
    if reason == "ImagePullFailed" and _MISSING_IMAGE.search(message):
        reason, words = "ImageMissing", "The image is not in the registry"
    elif reason == "ImagePullFailed" and _FORBIDDEN_IMAGE.search(message):
        reason, words = "ImageForbidden", "The registry does not let the cluster pull the image"
    passing = reason in {"ImagePullFailed", "StartFailed"}
    return Failure(reason, _cut(f"{words}: {message}" if message else f"{words}."), passing)


def _ended_failure(ended: Mapping[str, Any], restarts: int) -> Failure:
    code, reason = ended.get("exitCode"), ended.get("reason")
    if reason == "OOMKilled":
        return Failure("OutOfMemory", "The code took more memory than its limit while it started.")
    said = str(ended.get("message", "")).strip()
    told = _told(said)
    if told is not None:
        return told
    again = f" {restarts} times" if restarts > 1 else ""
    last = said.splitlines()[-1] if said else "it wrote nothing"
    return Failure("Crashed", _cut(f"The code ended{again} with exit code {code}: {last}"))


def _told(said: str) -> Failure | None:
    """Return the failure that the runtime itself wrote as its last line, `{"code": …, "message": …}`."""
    try:
        line = json.loads(said.splitlines()[-1]) if said else None
    except ValueError:
        return None
    if not isinstance(line, dict) or not isinstance(line.get("code"), str):
        return None
    words = "".join(part.capitalize() for part in line["code"].split("_"))
    # What user code may write must not look like a reason of the platform's own.
    known = {"ImportFailed", "HandlerNotFound", "StartFailed", "StartTimeout", "OutOfMemory", "Overdue"}
    return Failure(words if words in known else "Crashed", _cut(str(line.get("message", ""))))


def _cut(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _MESSAGE else plain[: _MESSAGE - 1] + "…"
