"""Functions in every state that their status can tell of, made by the operator against a played cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.operators.stage import Stage, digest, function_body, image, version

__all__ = ["STATUSES", "State", "status_in"]


@dataclass(frozen=True)
class State:
    """How a Function gets there, and what `Ready` says then."""

    make: Callable[[Stage], None]
    ready: tuple[str, str]


def _broken(waiting: str, message: str = "") -> Callable[[Stage], None]:
    def make(stage: Stage) -> None:
        stage.knative.broken[image("1")] = {"state": {"waiting": {"reason": waiting, "message": message}}}
        stage.write(function_body())
        stage.settle()

    return make


def _serving(stage: Stage) -> None:
    stage.write(function_body())
    stage.settle()


def _starting(stage: Stage) -> None:
    stage.knative.slow.add(image("1"))
    _serving(stage)


def _waiting_for_a_version(stage: Stage) -> None:
    _serving(stage)
    stage.knative.slow.add(image("2"))
    stage.write(function_body(version(2)), epoch=2)
    stage.settle()


def _crashed(stage: Stage) -> None:
    last = {"terminated": {"exitCode": 1, "message": "ZeroDivisionError: division by zero"}}
    crash = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last, "restartCount": 2}
    stage.knative.broken[image("1")] = crash
    _serving(stage)


def _unattested(stage: Stage) -> None:
    stage.cluster.apply(function_body(), "kubectl")
    stage.settle()


def _malformed(stage: Stage) -> None:
    envelope = {"payloadType": "x", "payload": "AAAA", "signatures": [{"keyid": "x", "sig": "AAAA"}]}
    stage.cluster.apply(function_body(attestation=envelope), "kubectl")
    stage.settle()


def _untrusted(stage: Stage) -> None:
    stage.trust_entry({"key": "A" * 43 + "="})
    _serving(stage)


def _changed(stage: Stage) -> None:
    body = stage.attested(function_body())
    body["spec"]["versions"][0]["percent"] = 100
    body["spec"]["versions"][0]["settings"] = {"COLOUR": "blue"}
    stage.cluster.apply(body, "kubectl")
    stage.settle()


def _moved(stage: Stage) -> None:
    stage.write(function_body(), namespace="elsewhere")
    stage.settle()


def _replayed(stage: Stage) -> None:
    stage.write(function_body(), epoch=5)
    stage.settle()
    stage.write(function_body(version(2)), epoch=4)
    stage.settle()


def _taken_down(stage: Stage) -> None:
    _serving(stage)
    stage.bury(2, digest("1"))
    stage.settle()


def _unreviewed(stage: Stage) -> None:
    stage.write(function_body(), approvals=0)
    stage.trust(approvals=1)
    stage.settle()


STATUSES: Final[dict[str, State]] = {
    "serving": State(_serving, ("True", "Serving")),
    "starting": State(_starting, ("Unknown", "Starting")),
    "waiting for a version": State(_waiting_for_a_version, ("Unknown", "Starting")),
    "image missing": State(_broken("ErrImagePull", "not found"), ("False", "ImageMissing")),
    "image forbidden": State(_broken("ErrImagePull", "unauthorized"), ("False", "ImageForbidden")),
    "value missing": State(_broken("CreateContainerConfigError", "no Secret"), ("False", "ValueMissing")),
    "crashed": State(_crashed, ("False", "Crashed")),
    "unattested": State(_unattested, ("False", "AttestationMissing")),
    "malformed": State(_malformed, ("False", "AttestationMalformed")),
    "untrusted": State(_untrusted, ("False", "NotTrusted")),
    "changed": State(_changed, ("False", "NotAttested")),
    "moved": State(_moved, ("False", "Moved")),
    "replayed": State(_replayed, ("False", "Replayed")),
    "taken down": State(_taken_down, ("False", "TakenDown")),
    "unreviewed": State(_unreviewed, ("False", "Unreviewed")),
}


def status_in(stage: Stage, name: str) -> dict[str, Any]:
    """Return the Function in a state."""
    STATUSES[name].make(stage)
    body = stage.api.get("functions", "orders", "shop")
    assert body is not None
    return body
