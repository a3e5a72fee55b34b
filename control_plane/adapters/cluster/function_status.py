"""Reads what a Function's status says, in the words of the Runtime port. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from control_plane.ports import Prepared

__all__ = ["prepared_of", "target_of", "version_status"]

# The operator's reasons -> the failure codes of docs/contracts.md.
_CODES: Final = {
    "ImportFailed": "import_failed",
    "HandlerNotFound": "handler_not_found",
    "StartTimeout": "start_timeout",
    "StartFailed": "crashed",
    "OutOfMemory": "out_of_memory",
    "Overdue": "overdue",
    "Crashed": "crashed",
    "ImageMissing": "image_unavailable",
    "ImageForbidden": "image_unavailable",
    "ImagePullFailed": "image_unavailable",
    "ValueMissing": "value_missing",
    "QuotaExceeded": "no_room",
    "PodsRefused": "no_room",
    "Unschedulable": "no_room",
}
_STATES: Final = {"True": "idle", "False": "faulted"}


def target_of(body: Mapping[str, Any], target: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the Function and its version of this name; None when it has none."""
    found = (one for one in body["spec"]["versions"] if one["name"] == target)
    version = next(found, None)
    return (dict(body), version) if version is not None else None


def prepared_of(body: Mapping[str, Any], target: str) -> Prepared:
    """Return whether a version answers; `start_timeout` while it may still."""
    status = body.get("status") or {}
    if status.get("observedGeneration") != body["metadata"].get("generation"):
        return Prepared(ok=False, code="start_timeout", message="The operator has not looked at it yet.")
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    admitted = conditions.get("Admitted", {})
    if admitted.get("status") == "False":
        message = str(admitted.get("message", ""))
        return Prepared(ok=False, code="not_admitted", message=message, log=(message,))
    stated = _stated(status, target)
    if stated.get("ready") == "True" and stated.get("url"):
        return Prepared(ok=True)
    message = str(stated.get("message") or "It did not answer in time.")
    if stated.get("ready") == "False":
        code = _CODES.get(str(stated.get("reason")), "crashed")
        return Prepared(ok=False, code=code, message=message, log=(message,))
    return Prepared(ok=False, code="start_timeout", message=message)


def version_status(body: Mapping[str, Any], version: Mapping[str, Any]) -> dict[str, Any]:
    """Return one target as `Runtime.status` lists it."""
    spec = body["spec"]
    stated = _stated(body.get("status") or {}, str(version["name"]))
    return {
        "organization": spec["organization"],
        "project": spec["project"],
        "function": spec["function"],
        "version": version["digest"],
        "state": _STATES.get(str(stated.get("ready")), "starting"),
        "instances": [],
        "reason": str(stated.get("reason", "")),
    }


def _stated(status: Mapping[str, Any], target: str) -> Mapping[str, Any]:
    return next((one for one in status.get("versions", ()) if one["name"] == target), {})
