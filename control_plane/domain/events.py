"""Domain events: CloudEvents that are committed with the change they tell of.

An event never carries a secret, a key, a document or a call's payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["EVENT_TYPES", "Event", "check_data", "type_of"]

# noun.verb -> the data fields, all strings or integers. The catalogue in the docs is made of this.
EVENT_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "organization.created": ("name",),
    "organization.changed": ("title",),
    "department.created": ("name",),
    "department.changed": ("title",),
    "department.removed": ("name",),
    "project.created": ("name",),
    "project.changed": ("approvals", "approval_days"),
    "project.moved": ("department",),
    "member.invited": ("role",),
    "member.changed": ("role",),
    "member.disabled": (),
    "member.enabled": (),
    "member.removed": (),
    "function.created": ("name", "project"),
    "function.changed": ("name",),
    "function.removed": ("name", "project"),
    "function.restored": ("name", "project"),
    "preview.started": ("function", "number"),
    "preview.ended": ("function", "number"),
    "draft.changed": ("revision", "user"),
    "draft.locked": ("revision",),
    "test_run.finished": ("function", "state", "code"),
    "version.frozen": ("function", "number", "digest"),
    "version.changed": ("function", "number", "state"),
    "function.taken_down": ("name", "versions"),
    "function.reinstated": ("name", "versions"),
    "review.submitted": ("function", "number", "digest"),
    "review.commented": ("function",),
    "review.approved": ("function", "state", "digest"),
    "review.rejected": ("function",),
    "review.changes_requested": ("function",),
    "review.resubmitted": ("function", "digest"),
    "review.withdrawn": ("function",),
    "review.outdated": ("function",),
    "release.created": ("function", "number", "digest"),
    "release.progressed": ("function", "number", "reason"),
    "release.live": ("function", "number", "digest"),
    "release.failed": ("function", "number", "reason"),
    "release.superseded": ("function", "number"),
    "release.guard_changed": ("function", "number", "guarded"),
    "release.guard_breached": ("function", "number", "reason"),
    "release.promoted": ("function", "number", "percent"),
    "api_key.created": ("project", "name"),
    "api_key.changed": ("project", "name"),
    "api_key.rotated": ("project", "name"),
    "api_key.revoked": ("project", "name"),
    "setting.changed": ("project", "name", "stage", "number"),
    "setting.removed": ("project", "name", "stage"),
    "secret.changed": ("project", "name", "stage", "number"),
    "secret.removed": ("project", "name", "stage"),
    "file.announced": ("project", "size"),
    "file.stored": ("project", "size"),
    "file.removed": ("project",),
    "share.created": ("function", "number", "digest", "audience"),
    "share.changed": ("function", "number", "digest", "audience"),
    "share.removed": ("function",),
    "function.installed": ("share", "number", "digest"),
    "function.exported": ("export", "kind"),
    "function.imported": ("origin", "versions"),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. `sequence` is 0 until the relay has given it its place."""

    id: str
    organization: str
    # dev.ingot.<noun>.<verb>.v1
    type: str
    # Id of the thing it happened to.
    subject: str
    time_ms: int
    data: Mapping[str, Any]
    sequence: int = 0


def check_data(name: str, data: Mapping[str, Any]) -> None:
    """Refuse data that is not what the catalogue promises. Raises ValueError: it is a bug of ours."""
    if data.keys() != set(EVENT_TYPES[name]):
        raise ValueError(f"{name} carries {sorted(EVENT_TYPES[name])}, not {sorted(data)}")


def type_of(name: str) -> str:
    """Return the full type of a catalogued `noun.verb`. Raises KeyError for any other."""
    if name not in EVENT_TYPES:
        raise KeyError(name)
    return f"dev.ingot.{name}.v1"
