"""Tools that wait for resources understand a Function's status: the rules of kstatus, written out here.

They are those that Flux and `kubectl wait` style tools share: a status of an older generation is on its
way; `Reconciling` and `Stalled` are only there while they are true; `Ready` decides otherwise.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.operators.stage import Stage, function_body
from tests.operators.statuses import STATUSES, status_in

REFUSED = {
    "unattested", "malformed", "untrusted", "changed", "moved", "replayed", "taken down", "unreviewed",
}  # fmt: skip


def kstatus(body: dict[str, Any]) -> str:
    """Return what a tool takes the object for: Current, InProgress, Failed or Terminating."""
    meta, status = body["metadata"], body.get("status") or {}
    if meta.get("deletionTimestamp"):
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != meta["generation"]:
        return "InProgress"
    conditions = {one["type"]: one["status"] for one in status.get("conditions", ())}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"


@pytest.mark.parametrize("name", sorted(STATUSES))
def test_every_state_is_understood(stage: Stage, name: str) -> None:
    body = status_in(stage, name)
    ready, reason = STATUSES[name].ready
    conditions = {one["type"]: one for one in body["status"]["conditions"]}
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == (ready, reason)
    # What is refused fails at once; what may still come is waited for.
    expected = "Failed" if name in REFUSED else "Current" if ready == "True" else "InProgress"
    assert kstatus(body) == expected
    # Both are said by being there, never by a status that is not True.
    for kind in ("Reconciling", "Stalled"):
        assert conditions.get(kind, {"status": "True"})["status"] == "True"
    assert not {"Reconciling", "Stalled"} <= conditions.keys()
    generation = body["metadata"]["generation"]
    assert body["status"]["observedGeneration"] == generation
    assert {one["observedGeneration"] for one in conditions.values()} == {generation}


@pytest.mark.parametrize("name", sorted(STATUSES))
def test_a_change_is_on_its_way_from_the_moment_it_is_written(stage: Stage, name: str) -> None:
    body = status_in(stage, name)
    body["metadata"]["generation"] += 1
    assert kstatus(body) == "InProgress"


def test_every_reason_of_a_refusal_is_tried() -> None:
    reasons = {STATUSES[name].ready[1] for name in REFUSED}
    assert reasons == {
        "AttestationMissing", "AttestationMalformed", "NotTrusted", "NotAttested", "Moved", "Replayed",
        "TakenDown", "Unreviewed",
    }  # fmt: skip


def test_one_that_goes_is_not_taken_for_one_that_is_there(stage: Stage) -> None:
    stage.write(function_body())
    stage.settle()
    body = stage.api.get("functions", "orders", "shop")
    assert body is not None
    body["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    assert kstatus(body) == "Terminating"
