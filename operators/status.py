"""What a Function's status says: made from what was found, without asking anybody. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from operators.conditions import Conditions
from operators.failures import Failure
from operators.resources import names
from operators.resources.model import Function
from operators.resources.rollout import Revision, Rollout

__all__ = ["Found", "make_status", "revision_of"]


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a function after this look."""

    service: Mapping[str, Any] | None
    revisions: Mapping[str, Revision]
    # revision name -> why its pods do not serve
    failures: Mapping[str, Failure]
    triggers: Sequence[Mapping[str, Any]] = ()
    mappings: Sequence[Mapping[str, Any]] = ()
    # "Kind name" -> why the cluster refused it
    refused: Mapping[str, str] = field(default_factory=dict)


def revision_of(body: Mapping[str, Any]) -> Revision:
    """Return a Knative Revision as what a rollout needs to know of it."""
    meta = body["metadata"]
    ready = _condition(body, "Ready") or {}
    return Revision(
        name=str(meta["name"]),
        digest=str(meta.get("annotations", {}).get("ingot.dev/digest", "")),
        ready={"True": True, "False": False}.get(str(ready.get("status"))),
        reason=str(ready.get("reason", "")),
        message=str(ready.get("message", "")),
    )


def make_status(
    function: Function, rollout: Rollout, found: Found, conditions: Conditions, before: Mapping[str, Any]
) -> dict[str, Any]:
    """Return url and versions, and add to `conditions` what the parts are like."""
    routed = _is_routed(found.service)
    versions = [_version(function, rollout, found, name, routed, before) for name in rollout.revisions]
    _judge_versions(versions, found, conditions)
    _judge_routes(function, rollout, found, conditions, routed)
    if function.triggers:
        _judge_all("TriggersReady", "trigger", found.triggers, len(function.triggers), conditions)
    if function.domains:
        _judge_all("DomainsReady", "domain", found.mappings, len(function.domains), conditions)
    return {"url": f"http://{names.host(function.name, function.namespace)}", "versions": versions}


def _version(
    function: Function, rollout: Rollout, found: Found, name: str, routed: bool, before: Mapping[str, Any]
) -> dict[str, Any]:
    revision = rollout.revisions[name]
    known, failure = found.revisions.get(revision), found.failures.get(revision)
    stated: dict[str, Any] = {"name": name, "revision": revision, "ready": "Unknown"}
    if known is not None and known.ready:
        stated["ready"] = "True"
    elif failure is not None:
        stated |= {"reason": failure.reason, "message": failure.message}
        stated["ready"] = "Unknown" if failure.passing else "False"
    elif known is not None and known.ready is False:
        stated |= {"ready": "False", "reason": known.reason or "Failed", "message": known.message}
    else:
        stated["reason"] = "Starting"
    if stated["ready"] == "True" and _is_reachable(found.service, name, revision, routed, before):
        stated["url"] = f"http://{names.version_host(name, function.name, function.namespace)}"
    return stated


def _is_reachable(
    service: Mapping[str, Any] | None, name: str, revision: str, routed: bool, before: Mapping[str, Any]
) -> bool:
    """Say whether calls to a version's own name arrive: once they did, other changes do not end that."""
    listed = (service or {}).get("status", {}).get("traffic", ())
    if not any(one.get("tag") == name and one.get("revisionName") == revision for one in listed):
        return False
    reached = any(
        one.get("name") == name and one.get("revision") == revision and one.get("url")
        for one in before.get("versions", ())
    )
    return routed or reached


def _judge_versions(versions: Iterable[Mapping[str, Any]], found: Found, conditions: Conditions) -> None:
    if found.refused:
        what, why = next(iter(sorted(found.refused.items())))
        conditions.failed("VersionsReady", "Refused", f"The cluster refuses {what}: {why}"[:1_000])
        return
    for status in ("False", "Unknown"):
        for one in versions:
            if one["ready"] != status:
                continue
            reason = str(one.get("reason", ""))
            message = f"Version {one['name']}: {one.get('message') or 'waiting for its first instance.'}"
            say = conditions.failed if status == "False" else conditions.waiting
            say("VersionsReady", reason, message)
            return
    conditions.succeeded("VersionsReady", "Started")


def _judge_routes(
    function: Function, rollout: Rollout, found: Found, conditions: Conditions, routed: bool
) -> None:
    route = _condition(found.service or {}, "RoutesReady") or {}
    if route.get("status") == "False" and rollout.settled:
        message = str(route.get("message", "")) or "Knative cannot route to it."
        conditions.failed("Routed", str(route.get("reason") or "RouteFailed"), message)
    elif not rollout.settled:
        conditions.waiting("Routed", "WaitingForVersions", "What served before serves on.")
    elif routed:
        conditions.succeeded("Routed", "Serving")
    else:
        message = f"Waiting until calls to {function.name} arrive."
        conditions.waiting("Routed", "Routing", message)


def _judge_all(
    kind: str, noun: str, bodies: Sequence[Mapping[str, Any]], wanted: int, conditions: Conditions
) -> None:
    for body in bodies:
        ready = _condition(body, "Ready") or {}
        if ready.get("status") == "False":
            name = body["metadata"]["name"]
            message = f"The {noun} {name}: {ready.get('message') or 'it is not ready.'}"
            conditions.failed(kind, str(ready.get("reason") or "NotReady"), message)
            return
    done = [body for body in bodies if (_condition(body, "Ready") or {}).get("status") == "True"]
    if len(done) == wanted:
        conditions.succeeded(kind, "Serving")
    else:
        conditions.waiting(kind, "Waiting", f"{len(done)} of {wanted} are ready.")


def _is_routed(service: Mapping[str, Any] | None) -> bool:
    """Say whether Knative has put all of the Service's present traffic into effect."""
    if service is None:
        return False
    seen = service.get("status", {}).get("observedGeneration") == service["metadata"].get("generation")
    return seen and (_condition(service, "RoutesReady") or {}).get("status") == "True"


def _condition(body: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    conditions = body.get("status", {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), None)
