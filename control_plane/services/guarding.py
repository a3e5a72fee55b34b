"""Watches guarded releases and acts: back to the former release, or on to the next step.

Each decision and its effect are one transaction, which looks again whether the
release is still the current one, so a kill at any line leaves either nothing or
a recorded release that the reconciler makes so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from control_plane.domain.functions import Function
from control_plane.domain.identity import Actor, Project
from control_plane.domain.release_guards import Action, Figures, Guard, Verdict, decide
from control_plane.domain.release_plans import Wish, with_share
from control_plane.domain.releases import Release, ReleasePart, ReleaseState
from control_plane.errors import IngotError
from control_plane.services.changes import Change, Changes
from control_plane.services.release_plans import Planner, Terms, Wanted, record_release

__all__ = ["GuardAction", "Guards", "Measure"]

# (function, version, first Unix millisecond, last) -> what was counted
Measure: TypeAlias = Callable[[str, str, int, int], Figures]


@dataclass(frozen=True, slots=True)
class GuardAction:
    """What a guard did to a release, for the log; WATCH when it could not even look."""

    release: str
    action: Action
    message: str


class Guards:
    """Looks after every release that has a guard."""

    def __init__(self, changes: Changes, planner: Planner, measure: Measure) -> None:
        self._changes = changes
        self._planner = planner
        self._measure = measure

    def look(self) -> tuple[GuardAction, ...]:
        """Measure every watched release once and do what its guard asks for."""
        with self._changes.read(Actor.system("")) as view:
            watched = view.unit.releases.watched(view.now_ms)
        found = (self._looked_at(release) for release in watched)
        return tuple(action for action in found if action is not None)

    def _looked_at(self, release: Release) -> GuardAction | None:
        try:
            return self._look_at(release)
        except Exception as error:  # noqa: BLE001 - the trouble of one release is not the others'
            return GuardAction(release.id, Action.WATCH, f"It looks again: {error!r}")

    def _look_at(self, release: Release) -> GuardAction | None:
        guard, part = release.guard, release.watched
        if guard is None or part is None:
            return None
        now_ms = self._changes.now_ms
        verdict = self._judge(release, guard, part, now_ms)
        if verdict.action is Action.WATCH:
            return None
        with self._changes.change(Actor.system(release.organization), "release.guard") as change:
            current = _still_current(change, release)
            if current is None:
                return None
            act = self._roll_back if verdict.action is Action.ROLL_BACK else self._promote
            told = act(change, current, guard, verdict)
        return GuardAction(release.id, verdict.action, told) if told else None

    def _judge(self, release: Release, guard: Guard, part: ReleasePart, now_ms: int) -> Verdict:
        since = max(release.live_ms, now_ms - guard.window_s * 1_000)
        figures = self._measure(release.function, part.version, since, now_ms)
        return decide(guard, figures, percent=part.percent, healthy_ms=now_ms - release.live_ms)

    def _roll_back(self, change: Change, release: Release, guard: Guard, verdict: Verdict) -> str:
        """Record the former release anew, and why; without one, only say what is wrong."""
        former = (
            change.unit.releases.by_number(release.organization, release.function, guard.back_to)
            if guard.back_to
            else None
        )
        data = {"function": release.function, "number": release.number, "reason": verdict.reason}
        told = verdict.message
        if former is None:
            told = f"{told} There is no release to go back to."
        else:
            wishes = [Wish(part.version, part.percent, part.tag) for part in former.parts]
            bound = {part.version: part.bound for part in former.parts}
            note = f"Rolled back by the guard of release {release.number}, values of release {former.number}"
            terms = Terms(f"{note}: {told}", rollback_of=former.number)
            problem = self._record(change, release, Wanted(wishes, former.throttle, bound=bound), terms)
            told = f"{told} {problem}" if problem else told
        spoken = release.guard_spoke(verdict.reason, told, change.now_ms, ends=True)
        change.unit.releases.update(spoken)
        change.happened("release.guard_breached", release.id, data, message=told, back_to=guard.back_to)
        return told

    def _promote(self, change: Change, release: Release, guard: Guard, verdict: Verdict) -> str:
        """Record the next step with the same values, limits and guard."""
        wanted = Wanted(
            with_share(release.parts, guard.version, verdict.percent),
            release.throttle,
            guard,
            {part.version: part.bound for part in release.parts},
        )
        terms = Terms(f"Promoted to {verdict.percent} % by the guard: {verdict.message}")
        problem = self._record(change, release, wanted, terms)
        if problem:
            return self._stay(change, release, f"{verdict.message} {problem}")
        spoken = release.guard_spoke("promoted", verdict.message, change.now_ms, ends=True)
        change.unit.releases.update(spoken)
        data = {"function": release.function, "number": release.number, "percent": verdict.percent}
        change.happened("release.promoted", release.id, data, message=verdict.message)
        return verdict.message

    def _stay(self, change: Change, release: Release, told: str) -> str:
        """Say once that it cannot grow; it is watched for what it may do meanwhile."""
        before = next((one.reason for one in release.conditions if one.type == "Guarded"), "")
        if before == "not_promoted":
            return ""
        spoken = release.guard_spoke("not_promoted", told, change.now_ms, ends=False)
        change.unit.releases.update(spoken)
        data = {"function": release.function, "number": release.number, "reason": "not_promoted"}
        change.happened("release.progressed", release.id, data, message=told)
        return told

    def _record(self, change: Change, release: Release, wanted: Wanted, terms: Terms) -> str:
        """Record a release in the current one's place; return why not, if it cannot be."""
        place = _place_of(change, release)
        if place is None:
            return "The function is gone."
        try:
            plan = self._planner.plan(change, *place, wanted)
            record_release(change, place[0], plan, terms)
        except IngotError as error:
            return f"It could not be done: {error.message}"
        return ""


def _still_current(change: Change, seen: Release) -> Release | None:
    """Return the release as it is now, when it is live, watched and nobody released anything after it."""
    release = change.unit.releases.get(seen.organization, seen.id)
    if release is None or release.state is not ReleaseState.LIVE or release.guard != seen.guard:
        return None
    if release.watch_until_ms <= change.now_ms:
        return None
    active = change.unit.releases.active_of(release.organization, release.function)
    return release if [one.id for one in active] == [release.id] else None


def _place_of(change: Change, release: Release) -> tuple[Function, Project] | None:
    function = change.unit.functions.get(release.organization, release.function)
    project = change.unit.identity.project(release.organization, release.project)
    return (function, project) if function is not None and project is not None else None
