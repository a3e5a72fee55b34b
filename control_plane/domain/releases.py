"""Releases: which versions of a function receive traffic, with which values, and how that went.

A release has a digest of its own and is never edited; only its state and its
conditions move, by the named verbs here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.canonical import digest_of
from control_plane.domain.desired import Limits
from control_plane.domain.release_guards import Guard, watched_until
from control_plane.domain.values import Bound
from control_plane.errors import Conflict, Invalid

__all__ = [
    "ROLLBACK_MS",
    "Condition",
    "Release",
    "ReleasePart",
    "ReleaseState",
    "Throttle",
    "check_shares",
    "limits_of",
    "release_digest",
    "target_id",
]

# A version that was live this recently may come back without a new approval.
ROLLBACK_MS: Final = 30 * 86_400_000
_TAG: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")


class ReleaseState(StrEnum):
    """Where a release stands."""

    # Recorded; the reconciler makes it so.
    PENDING = "pending"
    LIVE = "live"
    # A later release took its place.
    SUPERSEDED = "superseded"
    # Its code did not load; the release before goes on serving.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Condition:
    """One statement about a release: Progressing, Ready or Failed."""

    type: str
    status: bool
    # A word for programs, e.g. "import_failed"
    reason: str
    message: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class ReleasePart:
    """One version's part of the traffic with the values it runs with."""

    version: str
    number: int
    digest: str
    percent: int
    bound: Bound
    # The interpreter's build on this machine, or the base image's digest.
    base: str
    # e.g. "canary"; callable as `function@tag`
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Throttle:
    """Limits that belong to the release, not to the version. 0 means: none, or as declared."""

    instances: int = 0
    rate_10s: int = 0
    concurrency: int = 0

    def __post_init__(self) -> None:
        largest = (("instances", 1_000), ("rate_10s", 10_000_000), ("concurrency", 100_000))
        for field, most in largest:
            if not 0 <= getattr(self, field) <= most:
                raise Invalid(f"A release's {field} is 0 to {most}.", field=field)


@dataclass(frozen=True, slots=True)
class Release:
    """The recorded wish that a function's traffic goes so."""

    id: str
    organization: str
    project: str
    function: str
    number: int
    digest: str
    parts: tuple[ReleasePart, ...]
    throttle: Throttle
    created_by: str
    created_ms: int
    # Released under a policy of 0 approvals.
    unreviewed: bool = False
    # Number of the release whose versions came back, 0 otherwise.
    rollback_of: int = 0
    note: str = ""
    state: ReleaseState = ReleaseState.PENDING
    conditions: tuple[Condition, ...] = ()
    live_ms: int = 0
    ended_ms: int = 0
    # Who made it, as they were called then.
    created_by_name: str = ""
    guard: Guard | None = None
    # Until when the guard watches it; 0 while it is not live.
    watch_until_ms: int = 0
    # `traceparent` of the request that asked for it; empty when that was not traced.
    trace: str = ""

    @property
    def etag(self) -> str:
        """What a change of the guard must name as seen."""
        stood = [[one.type, one.status, one.reason, one.at_ms] for one in self.conditions]
        seen = digest_of({"state": str(self.state), "conditions": stood, "guard": repr(self.guard)})
        return f"r{self.number}-{seen[7:19]}"

    @property
    def watched(self) -> ReleasePart | None:
        """The part that the guard is about."""
        version = self.guard.version if self.guard else ""
        return next((part for part in self.parts if part.version == version), None)

    def progressing(self, reason: str, message: str, now_ms: int) -> Release:
        """Say what is being waited for."""
        return self._with(Condition("Progressing", True, reason, message, now_ms))

    def went_live(self, now_ms: int) -> Release:
        """Every target answers and the gateway sends calls there."""
        self._only_pending("go live")
        done = replace(self, state=ReleaseState.LIVE, live_ms=now_ms)._watched()
        done = done._with(Condition("Progressing", False, "done", "Nothing left to do.", now_ms))
        return done._with(Condition("Ready", True, "serving", "Calls reach this release.", now_ms))

    def failed(self, reason: str, message: str, now_ms: int) -> Release:
        """Its code does not serve; nothing was switched."""
        self._only_pending("fail")
        done = replace(self, state=ReleaseState.FAILED, ended_ms=now_ms)
        done = done._with(Condition("Progressing", False, "stopped", "Given up.", now_ms))
        return done._with(Condition("Failed", True, reason, message, now_ms))

    def superseded(self, number: int, now_ms: int) -> Release:
        """A later release took its place, live or still pending."""
        if self.state not in {ReleaseState.PENDING, ReleaseState.LIVE}:
            raise Conflict(f"Release {self.number} is {self.state} already.")
        done = replace(self, state=ReleaseState.SUPERSEDED, ended_ms=now_ms, watch_until_ms=0)
        message = f"Release {number} took its place."
        return done._with(Condition("Ready", False, "superseded", message, now_ms))

    def taken_down(self, now_ms: int) -> Release:
        """Its function was taken down, and this release does not come back with it."""
        done = replace(self, state=ReleaseState.SUPERSEDED, ended_ms=now_ms, watch_until_ms=0)
        message = "The function was taken down."
        return done._with(Condition("Ready", False, "taken_down", message, now_ms))

    def guarded(self, guard: Guard | None, now_ms: int) -> Release:
        """Return it with another guard, or with none."""
        if self.state not in {ReleaseState.PENDING, ReleaseState.LIVE}:
            raise Conflict(f"Release {self.number} is {self.state}; nothing watches it any more.")
        changed = replace(self, guard=guard)._watched()
        words = ("watching", "A guard watches it.") if guard else ("off", "No guard watches it.")
        return changed._with(Condition("Guarded", guard is not None, *words, now_ms))

    def guard_spoke(self, reason: str, message: str, now_ms: int, *, ends: bool) -> Release:
        """Note what its guard decided; when it `ends`, the guard has nothing left to do."""
        changed = replace(self, watch_until_ms=0) if ends else self
        return changed._with(Condition("Guarded", not ends, reason, message, now_ms))

    def _watched(self) -> Release:
        part = self.watched
        if self.state is not ReleaseState.LIVE or part is None:
            return replace(self, watch_until_ms=0)
        return replace(self, watch_until_ms=watched_until(self.guard, self.live_ms, [part.percent]))

    def _only_pending(self, verb: str) -> None:
        if self.state is not ReleaseState.PENDING:
            raise Conflict(f"Release {self.number} is {self.state}; it cannot {verb}.")

    def _with(self, condition: Condition) -> Release:
        others = tuple(known for known in self.conditions if known.type != condition.type)
        return replace(self, conditions=(*others, condition))


def check_shares(shares: Sequence[tuple[int, int, str]]) -> None:
    """Refuse (version number, percent, tag) triples that do not divide the traffic."""
    if not 1 <= len(shares) <= 10:
        raise Invalid("A release divides traffic between 1 and 10 versions.", field="parts")
    numbers = [number for number, _, _ in shares]
    tags = [tag for _, _, tag in shares if tag]
    if len(set(numbers)) != len(numbers):
        raise Invalid("A version stands in the release twice.", field="parts")
    if len(set(tags)) != len(tags) or not all(_TAG.fullmatch(tag) and tag != "live" for tag in tags):
        raise Invalid(
            "Tags are different, of small letters, digits and dashes, and “live” is the whole function's.",
            field="parts",
            hint="Use canary.",
        )
    total = sum(percent for _, percent, _ in shares)
    if any(not 0 <= percent <= 100 for _, percent, _ in shares) or total != 100:
        raise Invalid(f"The shares add up to {total} percent.", field="parts", hint="Make it 100.")


def release_digest(parts: Sequence[ReleasePart], throttle: Throttle) -> str:
    """Return the digest over everything that a release decides; the order of parts does not matter."""
    rows: list[dict[str, Any]] = [
        {
            "version": part.digest,
            "percent": part.percent,
            "tag": part.tag,
            "base": part.base,
            "values": part.bound.epoch,
            "secrets": dict(part.bound.secrets),
        }
        for part in sorted(parts, key=lambda part: (part.digest, part.tag))
    ]
    throttled: Mapping[str, int] = {
        "instances": throttle.instances,
        "rate_10s": throttle.rate_10s,
        "concurrency": throttle.concurrency,
    }
    return digest_of({"parts": rows, "throttle": throttled})


def target_id(part: ReleasePart, organization: str, isolation: str, limits: Limits) -> str:
    """Return `t` and 16 hex digits of the template key's hash: another key is another target."""
    key = {
        "organization": organization,
        "digest": part.digest,
        # The same digest frozen for two functions must not share a socket.
        "version": part.version,
        "epoch": part.bound.epoch,
        "isolation": isolation,
        "base": part.base,
        "limits": [limits.memory_mb, limits.timeout_ms, limits.concurrency, limits.instances],
    }
    return "t" + digest_of(key).removeprefix("sha256:")[:16]


def limits_of(limits: Limits, throttle: Throttle) -> Limits:
    """Return the declared limits with the release's number of instances, where it has one."""
    return replace(limits, instances=throttle.instances) if throttle.instances else limits
