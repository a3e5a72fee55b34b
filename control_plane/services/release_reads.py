"""Looking at releases: one, a page, what is live. Nothing here records or decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.domain.access import Permission
from control_plane.domain.functions import Function
from control_plane.domain.identity import Actor
from control_plane.domain.releases import Release, ReleaseState
from control_plane.services.changes import Changes, View, absent

__all__ = ["ReleaseReads", "ReleaseStatus", "release_by_number", "status_of"]


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """Where a function's traffic stands."""

    live: Release | None
    pending: Release | None
    # The newest release of all, whatever became of it.
    newest: Release | None

    @property
    def etag(self) -> str:
        """The traffic's ETag: it changes with every release, by whomever."""
        return f"r{self.newest.number if self.newest else 0}"


class ReleaseReads:
    """Reads of releases; every process may make them."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def get(self, actor: Actor, function: str, number: int) -> Release:
        """Return a release by its number."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.RELEASE_READ)
            return release_by_number(view, known, number)

    def list(self, actor: Actor, function: str, *, before: int = 0, limit: int = 50) -> tuple[Release, ...]:
        """Return the function's releases, newest first, behind the one numbered `before`."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.RELEASE_READ)
            return view.unit.releases.list(actor.organization, known.id, limit, before)

    def status(self, actor: Actor, function: str) -> ReleaseStatus:
        """Return what is live and what is on its way."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.RELEASE_READ)
            return status_of(view, known)

    def live(self, actor: Actor, functions: Sequence[Function]) -> dict[str, Release]:
        """Return function id -> live release, of those whose releases the actor may see."""
        with self._changes.read(actor) as view:
            projects = view.unit.identity.projects(actor.organization)
            visible = {one.id for one in projects if view.allows(Permission.RELEASE_READ, one.scope)}
            ids = [function.id for function in functions if function.project in visible]
            live = view.unit.releases.live_of(actor.organization, ids)
        return {release.function: release for release in live}


def status_of(view: View, function: Function) -> ReleaseStatus:
    """Return where a function's traffic stands at this moment."""
    active = view.unit.releases.active_of(view.organization, function.id)
    newest = view.unit.releases.list(view.organization, function.id, 1)
    return ReleaseStatus(
        live=next((one for one in active if one.state is ReleaseState.LIVE), None),
        pending=next((one for one in active if one.state is ReleaseState.PENDING), None),
        newest=newest[0] if newest else None,
    )


def release_by_number(view: View, function: Function, number: int) -> Release:
    """Return a function's release, or say that there is none."""
    release = view.unit.releases.by_number(view.organization, function.id, number)
    if release is None:
        raise absent("release", str(number))
    return release
