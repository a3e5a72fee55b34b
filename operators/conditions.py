"""The conditions of a Function: named verbs, the summary `Ready`, and times that only move with a status.

Pure. What each one means is in control_plane/docs/function-resource.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

__all__ = ["Condition", "Conditions", "condition_document"]

# In the order in which people want to read them; the first that is not true speaks for `Ready`.
_ORDER: Final = ("Admitted", "VersionsReady", "Routed", "TriggersReady", "DomainsReady")


@dataclass(frozen=True, slots=True)
class Condition:
    """One statement about the resource; `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str
    message: str = ""


class Conditions:
    """Collects what one look at the cluster found."""

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self._found: dict[str, Condition] = {}

    def succeeded(self, kind: str, reason: str, message: str = "") -> None:
        """Say that a part is as wanted."""
        self._found[kind] = Condition(kind, "True", reason, message)

    def waiting(self, kind: str, reason: str, message: str = "") -> None:
        """Say that a part is on its way."""
        self._found[kind] = Condition(kind, "Unknown", reason, message)

    def failed(self, kind: str, reason: str, message: str) -> None:
        """Say that a part cannot become as wanted without a change."""
        self._found[kind] = Condition(kind, "False", reason, message)

    def summary(self) -> Condition:
        """Return `Ready`: false when anything is, else unknown when anything is, else true."""
        known = [self._found[kind] for kind in _ORDER if kind in self._found]
        for status in ("False", "Unknown"):
            for one in known:
                if one.status == status:
                    return replace(one, type="Ready")
        return Condition("Ready", "True", "Serving")

    def document(self, before: Iterable[Mapping[str, Any]], now: str) -> list[dict[str, Any]]:
        """Return the conditions for the status; a time moves only when its status does."""
        known = {str(one.get("type")): one for one in before}
        stated = [self.summary(), *(self._found[kind] for kind in _ORDER if kind in self._found)]
        admitted = self._found.get("Admitted")
        if admitted is not None and admitted.status == "False":
            # Tools that wait for resources (kstatus) give up on this one instead of waiting for ever.
            stated.append(replace(admitted, type="Stalled", status="True"))
        elif stated[0].status == "Unknown":
            # They wait while this is there, also those that do not know what `Ready` is.
            stated.append(replace(stated[0], type="Reconciling", status="True"))
        return [condition_document(one, self._generation, known.get(one.type), now) for one in stated]


def condition_document(
    condition: Condition, generation: int, before: Mapping[str, Any] | None, now: str
) -> dict[str, Any]:
    """Return one condition as a status holds it; its time moves only when its status does."""
    same = before is not None and before.get("status") == condition.status
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if same and before else now,
    }
