"""Plans of releases: made from what the database holds at one moment, and recorded in the same transaction.

People (`releases`) and guards (`guarding`) make their releases here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from control_plane.domain.functions import Function
from control_plane.domain.identity import Project
from control_plane.domain.release_changes import changes_between, warnings_between
from control_plane.domain.release_guards import Guard
from control_plane.domain.release_plans import ReleasePlan, Standing, Wish, describe
from control_plane.domain.releases import (
    Release,
    ReleasePart,
    ReleaseState,
    Throttle,
    check_shares,
    release_digest,
)
from control_plane.domain.values import Bound, MissingValues, Stage, bind
from control_plane.domain.versions import Version, VersionState
from control_plane.errors import Conflict, Invalid, PreconditionFailed
from control_plane.ports import Builder
from control_plane.services.approvals import Verdict, judge
from control_plane.services.changes import Change, View
from control_plane.services.release_reads import ReleaseStatus, status_of
from control_plane.services.versions import find_version

__all__ = ["Planner", "ReleaseMoved", "ReleaseRefused", "Terms", "Wanted", "record_release", "require_seen"]


class ReleaseRefused(Conflict):
    """The plan cannot go; `errors` holds every reason as (code, sentence)."""

    code: ClassVar[str] = "release_refused"
    advice: ClassVar[str] = "`errors` names each reason; the troubleshooting guide says what each asks for."


class ReleaseMoved(PreconditionFailed):
    """Somebody released meanwhile; `errors` says what is live and what is on its way."""

    code: ClassVar[str] = "release_moved"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a release shall hold."""

    wishes: Sequence[Wish]
    throttle: Throttle = field(default_factory=Throttle)
    guard: Guard | None = None
    # version id -> the values it goes on with; every other version gets the newest ones
    bound: Mapping[str, Bound] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which conditions a plan may be recorded, and what is written beside it."""

    note: str = ""
    # Digest of the plan that was shown; another one is refused.
    expect: str = ""
    # The traffic's ETag that was seen; another one is refused.
    if_match: str = ""
    # Number of the release whose versions come back, 0 otherwise.
    rollback_of: int = 0


class Planner:
    """Makes plans; records nothing."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    def plan(self, view: View, function: Function, project: Project, wanted: Wanted) -> ReleasePlan:
        """Say what a release would do and why it would be refused."""
        wishes = wanted.wishes
        versions = [find_version(view, function, wish.version) for wish in wishes]
        pairs = list(zip(versions, wishes, strict=True))
        check_shares([(version.number, wish.percent, wish.tag) for version, wish in pairs])
        refusals: list[tuple[str, str]] = []
        if function.removed_ms:
            refusals.append(("function_removed", f"The function {function.name} was taken down."))
        parts: list[ReleasePart] = []
        standings: list[Standing] = []
        unreviewed = False
        for version, wish in pairs:
            part, problem = self._part_or_reason(view, version, wish, wanted.bound.get(version.id))
            # Approvals may be given for exactly these values, so those of the part are judged.
            verdict = judge(view, version, project, part.bound.epoch if part else None)
            unreviewed |= verdict.unreviewed
            standings.append(_standing(version, verdict))
            refusals += [one for one in (verdict.refusal, problem) if one]
            parts += [part] if part else []
        plan = ReleasePlan(
            parts=tuple(parts),
            throttle=wanted.throttle,
            digest=release_digest(parts, wanted.throttle),
            unreviewed=unreviewed,
            steps=describe(parts),
            refusals=tuple(refusals),
            approvals=tuple(standings),
            guard=_resolved(wanted.guard, versions),
        )
        return _compared(view, plan, versions, status_of(view, function))

    def _part_or_reason(
        self, view: View, version: Version, wish: Wish, bound: Bound | None
    ) -> tuple[ReleasePart | None, tuple[str, str] | None]:
        try:
            return self._part(view, version, wish, bound), None
        except (MissingValues, Invalid) as error:
            return None, (error.code, f"Version {version.number}: {error.message}")

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


def _standing(version: Version, verdict: Verdict) -> Standing:
    if verdict.refusal is not None:
        return Standing(version.number, allowed=False, reason=verdict.refusal[0])
    return Standing(version.number, allowed=True, reason=verdict.reason)


def _resolved(guard: Guard | None, versions: Sequence[Version]) -> Guard | None:
    """Return the guard with the id of the version that its number or id names, if it names one."""
    if guard is None or not guard.version:
        return guard
    named = [one.id for one in versions if guard.version in {one.id, str(one.number)}]
    if not named:
        raise Invalid("The guard watches a version that the release does not hold.", field="guard/version")
    return replace(guard, version=named[0])


def _compared(
    view: View, plan: ReleasePlan, versions: Sequence[Version], status: ReleaseStatus
) -> ReleasePlan:
    """Add what differs from what is live, and bind the guard to what it watches."""
    live = status.live
    guard = plan.guard
    if guard is not None:
        watched = guard.version or _newest_part(plan.parts, live)
        guard = replace(guard, version=watched, back_to=guard.back_to or (live.number if live else 0))
    sides = (*plan.parts, *(live.parts if live else ()))
    ids = {value for part in sides for value in (*part.bound.settings.values(), *part.bound.secrets.values())}
    numbers = {value.id: value.number for value in view.unit.values.by_ids(ids).values()}
    warnings = warnings_between(live, status.pending, plan.parts, guard, unreviewed=plan.unreviewed)
    deprecated = [
        f"Version {version.number} is deprecated."
        for version in versions
        if version.state is VersionState.DEPRECATED
    ]
    changes = changes_between(live, plan.parts, plan.throttle, guard, numbers)
    unchanged = [] if changes or live is None else [f"Nothing differs from release {live.number}."]
    return replace(
        plan,
        guard=guard,
        live=live.number if live else 0,
        etag=status.etag,
        changes=changes,
        warnings=(*warnings, *deprecated, *unchanged),
    )


def _newest_part(parts: Sequence[ReleasePart], live: Release | None) -> str:
    """Return the version that a guard watches when none is named: the largest that is not live yet."""
    known = {(part.version, part.bound.epoch) for part in live.parts} if live else set()
    new = [part for part in parts if part.percent and (part.version, part.bound.epoch) not in known]
    chosen = max(new or parts, key=lambda part: (part.percent if new else 0, part.number), default=None)
    return chosen.version if chosen else ""


def record_release(change: Change, function: Function, plan: ReleasePlan, terms: Terms) -> Release:
    """Record the wanted state; the reconciler makes it so. Raises ReleaseRefused."""
    if plan.refusals:
        first = plan.refusals[0][1]
        raise ReleaseRefused(f"The release is refused: {first}", errors=plan.refusals)
    if terms.expect and terms.expect != plan.digest:
        raise PreconditionFailed("The plan has changed since it was shown.", hint="Look at the new plan.")
    number = change.unit.releases.last_number(change.organization, function.id) + 1
    _supersede_pending(change, function, number)
    release = Release(
        id=change.new_id("release"),
        organization=change.organization,
        project=function.project,
        function=function.id,
        number=number,
        digest=plan.digest,
        parts=plan.parts,
        throttle=plan.throttle,
        created_by=change.actor.user,
        created_ms=change.now_ms,
        unreviewed=plan.unreviewed,
        rollback_of=terms.rollback_of,
        note=terms.note[:1_000],
        created_by_name=change.actor.name,
        trace=change.actor.trace,
    ).progressing("recorded", "Waiting for the runtime.", change.now_ms)
    if plan.guard is not None:
        release = release.guarded(plan.guard, change.now_ms)
    change.unit.releases.add(release)
    data = {"function": function.id, "number": number, "digest": plan.digest}
    shares = [[part.number, part.percent, part.digest] for part in plan.parts]
    change.happened(
        "release.created", release.id, data, parts=shares, rollback_of=terms.rollback_of, note=release.note
    )
    change.bump()
    return release


def require_seen(view: View, function: Function, terms: Terms) -> None:
    """Refuse, before anything else is asked, who has not seen the newest release. Raises ReleaseMoved."""
    status = status_of(view, function)
    if terms.if_match and terms.if_match != status.etag:
        raise _moved(status)


def _moved(status: ReleaseStatus) -> ReleaseMoved:
    def told(release: Release) -> str:
        shares = ", ".join(f"version {part.number} {part.percent} %" for part in release.parts)
        who = release.created_by_name or release.created_by
        return f"Release {release.number} by {who}: {shares}" + (f". {release.note}" if release.note else ".")

    sides = (("/live", status.live), ("/pending", status.pending))
    errors = tuple((pointer, told(release)) for pointer, release in sides if release is not None)
    newest = status.newest.number if status.newest else 0
    return ReleaseMoved(
        f"The traffic was changed meanwhile; release {newest} is the newest.",
        field="If-Match",
        hint="Look at what is live now, plan again and send the new ETag.",
        errors=errors,
    )


def _supersede_pending(change: Change, function: Function, number: int) -> None:
    for older in change.unit.releases.active_of(change.organization, function.id):
        if older.state is ReleaseState.PENDING:
            change.unit.releases.update(older.superseded(number, change.now_ms))
            data = {"function": function.id, "number": older.number}
            change.happened("release.superseded", older.id, data)
