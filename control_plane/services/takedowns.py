"""Takedowns: what may run no more, at once by an operator or by a review, and what a review lets back.

Retiring a version, which no review undoes, is in `versions`.
"""

from __future__ import annotations

from control_plane.domain.access import Permission
from control_plane.domain.functions import Function
from control_plane.domain.identity import Actor
from control_plane.domain.reviews import ReviewAction, ReviewKind, move
from control_plane.domain.versions import Version, VersionState
from control_plane.errors import Conflict, Invalid
from control_plane.services.changes import Change, Changes
from control_plane.services.versions import find_version

__all__ = ["Takedowns", "reinstate", "take_down"]

_LONGEST_REASON = 500


class Takedowns:
    """The use case of whoever must stop a function now."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def now(self, actor: Actor, function: str, *, reason: str, version: str | int = "") -> tuple[str, ...]:
        """Take down every version of a function that may run, or one; return their ids.

        Releases that hold one of them end in the same transaction.
        """
        if not reason.strip() or len(reason) > _LONGEST_REASON:
            raise Invalid(f"A takedown needs a reason of 1-{_LONGEST_REASON} characters.", field="reason")
        with self._changes.change(actor, "function.takedown", f"function/{function}") as change:
            known, _ = change.function(function, Permission.FUNCTION_TAKEDOWN)
            found = find_version(change, known, version) if version else None
            return take_down(change, known, reason, version=found)


def take_down(
    change: Change, function: Function, reason: str, *, version: Version | None = None
) -> tuple[str, ...]:
    """Take down one version, or all that may run, and end every release that holds one of them."""
    rows = change.unit.versions
    if version is None:
        ids = rows.take_down(change.organization, function.id, reason[:_LONGEST_REASON])
    elif version.state in {VersionState.FROZEN, VersionState.DEPRECATED}:
        plain = " ".join(reason.split())[:_LONGEST_REASON]
        rows.update(version.move(VersionState.TAKEN_DOWN, plain))
        ids = (version.id,)
    else:
        raise Conflict(f"Version {version.number} is {version.state} already.")
    for release in change.unit.releases.active_of(change.organization, function.id):
        if any(part.version in ids for part in release.parts):
            change.unit.releases.update(release.taken_down(change.now_ms))
            data = {"function": function.id, "number": release.number}
            change.happened("release.superseded", release.id, data, reason="taken_down")
    for review in change.unit.reviews.active_of(change.organization, function.id):
        if review.version in ids and review.open and review.kind is not ReviewKind.TAKEDOWN:
            change.unit.reviews.update(move(review, ReviewAction.OUTDATE))
            change.happened("review.outdated", review.id, {"function": function.id}, by="takedown")
    data = {"name": function.name, "versions": len(ids)}
    change.happened("function.taken_down", function.id, data, reason=reason[:_LONGEST_REASON])
    change.bump()
    return ids


def reinstate(change: Change, function: Function, version: Version) -> None:
    """Let a version be released again; nothing is released by it."""
    change.unit.versions.update(version.reinstated())
    data = {"name": function.name, "versions": 1}
    change.happened("function.reinstated", function.id, data, number=version.number)
