"""Releases: recording which versions receive traffic, with which values; the reconciler makes it so.

How a plan is made stands in `release_plans`, reading alone in `release_reads`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from control_plane.domain.access import Permission
from control_plane.domain.functions import Function
from control_plane.domain.identity import Actor, Project
from control_plane.domain.release_guards import Guard
from control_plane.domain.release_plans import ReleasePlan, Wish, with_share, with_tag, without_tag
from control_plane.domain.releases import Release, ReleaseState, Throttle
from control_plane.errors import Conflict, Invalid, PreconditionFailed
from control_plane.ports import Builder
from control_plane.services.changes import Changes, View
from control_plane.services.release_plans import (
    Planner,
    ReleaseMoved,
    ReleaseRefused,
    Terms,
    Wanted,
    record_release,
    require_seen,
)
from control_plane.services.release_reads import ReleaseReads, ReleaseStatus, release_by_number, status_of
from control_plane.services.versions import find_version

__all__ = ["ReleaseMoved", "ReleaseRefused", "ReleaseStatus", "Releases", "Terms", "Wish"]


class Releases(ReleaseReads):
    """Use cases about releases."""

    def __init__(self, changes: Changes, builder: Builder) -> None:
        super().__init__(changes)
        self._planner = Planner(builder)

    def plan(
        self,
        actor: Actor,
        function: str,
        wishes: Sequence[Wish],
        *,
        throttle: Throttle | None = None,
        guard: Guard | None = None,
    ) -> ReleasePlan:
        """Say what a release would do and why it would be refused; records nothing."""
        with self._changes.read(actor) as view:
            known, project = view.function(function, Permission.RELEASE_READ)
            return self._planner.plan(view, known, project, Wanted(wishes, throttle or Throttle(), guard))

    def apply(  # noqa: PLR0913  (each is one part of what is wanted)
        self,
        actor: Actor,
        function: str,
        wishes: Sequence[Wish],
        *,
        throttle: Throttle | None = None,
        guard: Guard | None = None,
        note: str = "",
        expect: str = "",
        if_match: str = "",
    ) -> Release:
        """Check approvals again and record the wanted state, in one transaction.

        `expect` is the plan's digest that was shown, `if_match` the traffic's
        ETag; others are refused. Raises ReleaseRefused with every reason.
        """
        with self._changes.change(actor, "release.create", f"function/{function}") as change:
            known, project = change.function(function, Permission.RELEASE_WRITE)
            terms = Terms(note, expect, if_match)
            require_seen(change, known, terms)
            plan = self._planner.plan(change, known, project, Wanted(wishes, throttle or Throttle(), guard))
            return record_release(change, known, plan, terms)

    def split(  # noqa: PLR0913  (each is one part of what is wanted)
        self,
        actor: Actor,
        function: str,
        *,
        version: str | int,
        percent: int,
        tag: str = "canary",
        guard: Guard | None = None,
        terms: Terms | None = None,
    ) -> Release:
        """Give a version a part of the traffic; the others share the rest as before, with their values."""
        with self._changes.change(actor, "release.create", f"function/{function}") as change:
            known, project = change.function(function, Permission.RELEASE_WRITE)
            given = terms or Terms()
            require_seen(change, known, given)
            wanted = _split(change, known, version, percent, tag)
            plan = self._planner.plan(change, known, project, replace(wanted, guard=guard))
            named = given if given.note else replace(given, note=f"{percent} % to version {version}")
            return record_release(change, known, plan, named)

    def plan_split(
        self,
        actor: Actor,
        function: str,
        *,
        version: str | int,
        percent: int,
        tag: str = "canary",
        guard: Guard | None = None,
    ) -> ReleasePlan:
        """Say what `split` would do; records nothing."""
        with self._changes.read(actor) as view:
            known, project = view.function(function, Permission.RELEASE_READ)
            wanted = _split(view, known, version, percent, tag)
            return self._planner.plan(view, known, project, replace(wanted, guard=guard))

    def tag(
        self, actor: Actor, function: str, tag: str, version: str | int | None, terms: Terms | None = None
    ) -> Release:
        """Let function@tag lead to a version, or nowhere without one; the traffic stays as it is."""
        with self._changes.change(actor, "release.tag", f"function/{function}") as change:
            known, project = change.function(function, Permission.RELEASE_WRITE)
            given = terms or Terms()
            require_seen(change, known, given)
            live = _live(change, known)
            if version is None:
                wishes, words = without_tag(live.parts, tag), f"@{tag} removed"
            else:
                wanted = find_version(change, known, version)
                wishes, words = with_tag(live.parts, wanted.id, tag), f"@{tag} is version {wanted.number}"
            plan = self._planner.plan(change, known, project, _as_live(live, wishes))
            return record_release(change, known, plan, given if given.note else replace(given, note=words))

    def rollback(
        self,
        actor: Actor,
        function: str,
        *,
        to: int = 0,
        newest_values: bool = False,
        terms: Terms | None = None,
    ) -> Release:
        """Release again what an earlier release held: number `to`, or the live one's predecessor.

        The values are those of that release unless `newest_values`; its
        versions need no new approval within 30 days of having been live.
        """
        with self._changes.change(actor, "release.rollback", f"function/{function}") as change:
            known, project = change.function(function, Permission.RELEASE_WRITE)
            given = terms or Terms()
            require_seen(change, known, given)
            plan, old = self._rollback(change, known, project, to, newest_values=newest_values)
            values = "newest values" if newest_values else f"values of release {old.number}"
            words = f"Rollback, {values}" + (f": {given.note}" if given.note else "")
            return record_release(change, known, plan, replace(given, note=words, rollback_of=old.number))

    def plan_rollback(
        self, actor: Actor, function: str, *, to: int = 0, newest_values: bool = False
    ) -> ReleasePlan:
        """Say what `rollback` would do; records nothing."""
        with self._changes.read(actor) as view:
            known, project = view.function(function, Permission.RELEASE_READ)
            return self._rollback(view, known, project, to, newest_values=newest_values)[0]

    def set_guard(
        self, actor: Actor, function: str, number: int, guard: Guard | None, *, if_match: str
    ) -> Release:
        """Let another guard watch a release that is live or on its way, or none."""
        with self._changes.change(actor, "release.guard", f"function/{function}") as change:
            known, _ = change.function(function, Permission.RELEASE_WRITE)
            release = release_by_number(change, known, number)
            if if_match != release.etag:
                raise PreconditionFailed(
                    f"Release {number} has changed since it was read.", hint="Read it again, then repeat."
                )
            bound = _bound_guard(change, known, release, guard)
            changed = release.guarded(bound, change.now_ms)
            change.unit.releases.update(changed)
            data = {"function": known.id, "number": number, "guarded": int(guard is not None)}
            change.happened("release.guard_changed", release.id, data)
        return changed

    def _rollback(
        self, view: View, function: Function, project: Project, to: int, *, newest_values: bool
    ) -> tuple[ReleasePlan, Release]:
        old = _to_roll_back_to(view, function, to)
        wanted = _as_live(old, [Wish(part.version, part.percent, part.tag) for part in old.parts])
        if newest_values:
            wanted = replace(wanted, bound={})
        return self._planner.plan(view, function, project, wanted), old


def _as_live(release: Release, wishes: Sequence[Wish]) -> Wanted:
    """Return what keeps a release's limits and its versions' values."""
    return Wanted(wishes, release.throttle, bound={part.version: part.bound for part in release.parts})


def _split(view: View, function: Function, version: str | int, percent: int, tag: str) -> Wanted:
    live = _live(view, function)
    wanted = find_version(view, function, version)
    bound = {part.version: part.bound for part in live.parts if part.version != wanted.id}
    shared = _as_live(live, with_share(live.parts, wanted.id, percent, tag))
    # The version that is being released gets the newest values, as with every release.
    return replace(shared, bound=bound)


def _live(view: View, function: Function) -> Release:
    live = status_of(view, function).live
    if live is None:
        raise Conflict(
            "The function has no live release.", hint="Release one version with 100 percent first."
        )
    return live


def _bound_guard(view: View, function: Function, release: Release, guard: Guard | None) -> Guard | None:
    """Return the guard with its version and the release that it goes back to."""
    if guard is None:
        return None
    before = release.guard
    newest = max(release.parts, key=lambda part: (part.percent > 0, part.number))
    version = guard.version or (before.version if before else newest.version)
    named = [one.version for one in release.parts if version in {one.version, str(one.number)}]
    if not named:
        raise Invalid("The guard watches a version that the release does not hold.", field="guard/version")
    back_to = before.back_to if before else _former_number(view, function, release)
    return replace(guard, version=named[0], back_to=back_to)


def _former_number(view: View, function: Function, release: Release) -> int:
    earlier = view.unit.releases.list(view.organization, function.id, 100, release.number)
    return next((one.number for one in earlier if one.live_ms), 0)


def _to_roll_back_to(view: View, function: Function, number: int) -> Release:
    if number:
        return release_by_number(view, function, number)
    releases = view.unit.releases.list(view.organization, function.id, 100)
    live = next((one for one in releases if one.state is ReleaseState.LIVE), None)
    for release in releases:
        earlier = live is None or release.number < live.number
        other = live is None or release.digest != live.digest
        if release.live_ms and earlier and other and release is not live:
            return release
    raise Conflict("No earlier release was live.", hint="Name a release by its number.")
