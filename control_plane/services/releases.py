"""Releases: planning and recording which versions receive traffic; the reconciler makes it so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from control_plane.domain.access import Permission
from control_plane.domain.functions import Function
from control_plane.domain.identity import Actor, Project
from control_plane.domain.releases import (
    Release,
    ReleasePart,
    ReleasePlan,
    ReleaseState,
    Throttle,
    check_shares,
    describe,
    release_digest,
)
from control_plane.domain.values import Bound, MissingValues, Stage, bind
from control_plane.domain.versions import Version
from control_plane.errors import Conflict, Invalid, PreconditionFailed
from control_plane.ports import Builder
from control_plane.services.approvals import judge
from control_plane.services.changes import Change, Changes, View, absent
from control_plane.services.versions import find_version

__all__ = ["ReleaseRefused", "ReleaseStatus", "Releases", "Wish"]


class ReleaseRefused(Conflict):
    """The plan cannot go; `errors` holds every reason as (code, sentence)."""

    code: ClassVar[str] = "release_refused"


@dataclass(frozen=True, slots=True)
class Wish:
    """One version's wanted part of the traffic. `tag` makes it callable as function@tag."""

    version: str | int
    percent: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """Where a function's traffic stands."""

    live: Release | None
    pending: Release | None
    # The newest release of all, whatever became of it.
    newest: Release | None


class Releases:
    """Use cases about releases."""

    def __init__(self, changes: Changes, builder: Builder) -> None:
        self._changes = changes
        self._builder = builder

    def plan(
        self, actor: Actor, function: str, wishes: Sequence[Wish], *, throttle: Throttle | None = None
    ) -> ReleasePlan:
        """Say what a release would do and why it would be refused; records nothing."""
        with self._changes.read(actor) as view:
            known, project = view.function(function, Permission.RELEASE_READ)
            return self._plan(view, known, project, wishes, throttle or Throttle())

    def apply(
        self,
        actor: Actor,
        function: str,
        wishes: Sequence[Wish],
        *,
        throttle: Throttle | None = None,
        note: str = "",
        expect: str = "",
    ) -> Release:
        """Check approvals again and record the wanted state, in one transaction.

        `expect` is the plan's digest that was shown; another one is refused.
        Raises ReleaseRefused with every reason.
        """
        with self._changes.change(actor, "release.create", f"function/{function}") as change:
            known, project = change.function(function, Permission.RELEASE_WRITE)
            plan = self._plan(change, known, project, wishes, throttle or Throttle())
            return self._record(change, known, plan, note=note, expect=expect)

    def split(
        self, actor: Actor, function: str, *, version: str | int, percent: int, tag: str = "canary"
    ) -> Release:
        """Give a version a part of the traffic and the rest to the largest part that is live."""
        wishes, throttle = self._split(actor, function, version, percent, tag)
        note = f"{percent} % to {version}"
        return self.apply(actor, function, wishes, throttle=throttle, note=note)

    def plan_split(
        self, actor: Actor, function: str, *, version: str | int, percent: int, tag: str = "canary"
    ) -> ReleasePlan:
        """Say what `split` would do; records nothing."""
        wishes, throttle = self._split(actor, function, version, percent, tag)
        return self.plan(actor, function, wishes, throttle=throttle)

    def _split(
        self, actor: Actor, function: str, version: str | int, percent: int, tag: str
    ) -> tuple[list[Wish], Throttle]:
        live = self.status(actor, function).live
        if live is None:
            raise Conflict(
                "The function has no live release.", hint="Release one version with 100 percent first."
            )
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.RELEASE_READ)
            wanted = find_version(view, known, version)
        others = [part for part in live.parts if part.version != wanted.id]
        wishes = [Wish(wanted.id, percent, tag if others and percent < 100 else "")]
        if others and percent < 100:
            wishes.insert(0, Wish(max(others, key=lambda part: part.percent).version, 100 - percent))
        return wishes, live.throttle

    def rollback(self, actor: Actor, function: str, *, to: int = 0, newest_values: bool = False) -> Release:
        """Release again what an earlier release held: number `to`, or the live one's predecessor.

        The values are those of that release unless `newest_values`; its
        versions need no new approval within 30 days of having been live.
        """
        with self._changes.change(actor, "release.rollback", f"function/{function}") as change:
            known, project = change.function(function, Permission.RELEASE_WRITE)
            old = _to_roll_back_to(change, known, to)
            wishes = [Wish(part.version, part.percent, part.tag) for part in old.parts]
            bound = {} if newest_values else {part.version: part.bound for part in old.parts}
            plan = self._plan(change, known, project, wishes, old.throttle, bound)
            values = "newest values" if newest_values else f"values of release {old.number}"
            return self._record(change, known, plan, note=f"Rollback, {values}", rollback_of=old.number)

    def get(self, actor: Actor, function: str, number: int) -> Release:
        """Return a release by its number."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.RELEASE_READ)
            return _by_number(view, known, number)

    def list(self, actor: Actor, function: str, *, limit: int = 50) -> tuple[Release, ...]:
        """Return the function's releases, newest first."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.RELEASE_READ)
            return view.unit.releases.list(actor.organization, known.id, limit)

    def status(self, actor: Actor, function: str) -> ReleaseStatus:
        """Return what is live and what is on its way."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.RELEASE_READ)
            active = view.unit.releases.active_of(actor.organization, known.id)
            newest = view.unit.releases.list(actor.organization, known.id, 1)
        return ReleaseStatus(
            live=next((one for one in active if one.state is ReleaseState.LIVE), None),
            pending=next((one for one in active if one.state is ReleaseState.PENDING), None),
            newest=newest[0] if newest else None,
        )

    def live(self, actor: Actor, functions: Sequence[Function]) -> dict[str, Release]:
        """Return function id -> live release, of those whose releases the actor may see."""
        found: dict[str, Release] = {}
        with self._changes.read(actor) as view:
            projects = view.unit.identity.projects(actor.organization)
            visible = {one.id for one in projects if view.allows(Permission.RELEASE_READ, one.scope)}
            for function in functions:
                if function.project in visible:
                    active = view.unit.releases.active_of(actor.organization, function.id)
                    found |= {one.function: one for one in active if one.state is ReleaseState.LIVE}
        return found

    def _plan(
        self,
        view: View,
        function: Function,
        project: Project,
        wishes: Sequence[Wish],
        throttle: Throttle,
        bound: dict[str, Bound] | None = None,
    ) -> ReleasePlan:
        versions = [find_version(view, function, wish.version) for wish in wishes]
        triples = zip(versions, wishes, strict=True)
        check_shares([(version.number, wish.percent, wish.tag) for version, wish in triples])
        refusals: list[tuple[str, str]] = []
        if function.removed_ms:
            refusals.append(("function_removed", f"The function {function.name} was taken down."))
        parts: list[ReleasePart] = []
        unreviewed = False
        for version, wish in zip(versions, wishes, strict=True):
            verdict = judge(view, version, project)
            unreviewed |= verdict.unreviewed
            if verdict.refusal:
                refusals.append(verdict.refusal)
            try:
                parts.append(self._part(view, version, wish, (bound or {}).get(version.id)))
            except (MissingValues, Invalid) as error:
                refusals.append((error.code, f"Version {version.number}: {error.message}"))
        return ReleasePlan(
            parts=tuple(parts),
            throttle=throttle,
            digest=release_digest(parts, throttle),
            unreviewed=unreviewed,
            steps=describe(parts),
            refusals=tuple(refusals),
        )

    def _part(self, view: View, version: Version, wish: Wish, bound: Bound | None) -> ReleasePart:
        if bound is None:
            values = view.unit.values.usable(version.organization, version.project, version.function)
            bound = bind(version.declaration, (value for value in values if value.stage is Stage.LIVE))
        return ReleasePart(
            version=version.id,
            number=version.number,
            digest=version.digest,
            percent=wish.percent,
            bound=bound,
            base=self._builder.base(version.declaration.runtime),
            tag=wish.tag,
        )

    def _record(
        self,
        change: Change,
        function: Function,
        plan: ReleasePlan,
        *,
        note: str,
        expect: str = "",
        rollback_of: int = 0,
    ) -> Release:
        if plan.refusals:
            first = plan.refusals[0][1]
            raise ReleaseRefused(f"The release is refused: {first}", errors=plan.refusals)
        if expect and expect != plan.digest:
            raise PreconditionFailed("The plan has changed since it was shown.", hint="Look at the new plan.")
        tenant = change.organization
        number = change.unit.releases.last_number(tenant, function.id) + 1
        _supersede_pending(change, function, number)
        release = Release(
            id=change.new_id("release"),
            organization=tenant,
            project=function.project,
            function=function.id,
            number=number,
            digest=plan.digest,
            parts=plan.parts,
            throttle=plan.throttle,
            created_by=change.actor.user,
            created_ms=change.now_ms,
            unreviewed=plan.unreviewed,
            rollback_of=rollback_of,
            note=note[:1_000],
        ).progressing("recorded", "Waiting for the runtime.", change.now_ms)
        change.unit.releases.add(release)
        data = {"function": function.id, "number": number, "digest": plan.digest}
        shares = [[part.number, part.percent, part.digest] for part in plan.parts]
        change.happened("release.created", release.id, data, parts=shares, rollback_of=rollback_of)
        change.bump()
        return release


def _supersede_pending(change: Change, function: Function, number: int) -> None:
    for older in change.unit.releases.active_of(change.organization, function.id):
        if older.state is ReleaseState.PENDING:
            change.unit.releases.update(older.superseded(number, change.now_ms))
            data = {"function": function.id, "number": older.number}
            change.happened("release.superseded", older.id, data)


def _to_roll_back_to(view: View, function: Function, number: int) -> Release:
    if number:
        return _by_number(view, function, number)
    releases = view.unit.releases.list(view.organization, function.id, 100)
    live = next((one for one in releases if one.state is ReleaseState.LIVE), None)
    for release in releases:
        earlier = live is None or release.number < live.number
        other = live is None or release.digest != live.digest
        if release.live_ms and earlier and other and release is not live:
            return release
    raise Conflict("No earlier release was live.", hint="Name a release by its number.")


def _by_number(view: View, function: Function, number: int) -> Release:
    release = view.unit.releases.by_number(view.organization, function.id, number)
    if release is None:
        raise absent("release", str(number))
    return release
