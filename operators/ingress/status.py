"""The status of an Ingress as Knative reads it: pure, from a verdict and what was reported before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from operators.ingress.model import Pending
from operators.ingress.settings import IngressSettings

__all__ = ["Reported", "make_status", "read_reported"]

CONDITIONS = ("NetworkConfigured", "LoadBalancerReady", "Ready")


@dataclass(frozen=True, slots=True)
class Reported:
    """What an Ingress's status says."""

    generation: int = 0
    # By type: status, time of the last change, reason and message.
    conditions: tuple[tuple[str, tuple[str, str, str, str]], ...] = ()
    # Whether the addresses of both listeners stand in it, and the right ones.
    public: str = ""
    private: str = ""

    def says(self, generation: int, pending: Pending | None, settings: IngressSettings) -> bool:
        """Say whether the status is already what a verdict asks for."""
        known = dict(self.conditions)
        state, reason, message = _words(pending)
        return (
            self.generation == generation
            and all(
                (found := known.get(name)) is not None
                and (found[0], found[2], found[3]) == (state, reason, message)
                for name in CONDITIONS
            )
            and (pending is not None or (self.public, self.private) == _domains(settings))
        )


def _words(pending: Pending | None) -> tuple[str, str, str]:
    if pending is None:
        return "True", "", ""
    return "False" if pending.final else "Unknown", pending.reason, pending.message


def _domains(settings: IngressSettings) -> tuple[str, str]:
    suffix = f".svc.{settings.cluster_domain}"
    return settings.public_service + suffix, settings.private_service + suffix


def _domain(status: Mapping[str, Any], name: str) -> str:
    listed = (status.get(name) or {}).get("ingress") or [{}]
    return str(listed[0].get("domainInternal", "")) if len(listed) == 1 else ""


def read_reported(document: Mapping[str, Any]) -> Reported:
    """Read an Ingress's status."""
    status = document.get("status") or {}
    return Reported(
        generation=int(status.get("observedGeneration") or 0),
        conditions=tuple(
            (
                str(each.get("type")),
                (
                    str(each.get("status", "")),
                    str(each.get("lastTransitionTime", "")),
                    str(each.get("reason", "")),
                    str(each.get("message", "")),
                ),
            )
            for each in status.get("conditions") or []
        ),
        public=_domain(status, "publicLoadBalancer"),
        private=_domain(status, "privateLoadBalancer"),
    )


def make_status(
    generation: int, pending: Pending | None, before: Reported, now: str, settings: IngressSettings
) -> dict[str, Any]:
    """Return the status for a merge patch; `now` is RFC 3339."""
    known = dict(before.conditions)
    state, reason, message = _words(pending)
    conditions: list[dict[str, str]] = []
    for name in CONDITIONS:
        earlier = known.get(name)
        since = earlier[1] if earlier is not None and earlier[0] == state and earlier[1] else now
        condition = {"type": name, "status": state, "lastTransitionTime": since}
        if reason:
            condition.update(reason=reason, message=message)
        conditions.append(condition)
    status: dict[str, Any] = {"observedGeneration": generation, "conditions": conditions}
    if pending is None:
        public, private = _domains(settings)
        status["publicLoadBalancer"] = {"ingress": [{"domainInternal": public}]}
        status["privateLoadBalancer"] = {"ingress": [{"domainInternal": private}]}
    return status
