"""How releases, plans and guards look on the wire. Models describe; they decide nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasPath, Field, model_validator

from control_plane.api.schemas import Input, Number, OptionalTime, Output, Time
from control_plane.domain.release_guards import Guard
from control_plane.domain.release_plans import Wish
from control_plane.domain.releases import Throttle

__all__ = ["GuardIn", "PlanOut", "ReleaseIn", "ReleaseOut", "RollbackIn", "StatusOut", "TagIn", "TagOut"]


class PartIn(Input):
    """One version's part of the traffic."""

    version: Number
    percent: Annotated[int, Field(ge=0, le=100)]
    tag: Annotated[str, Field(max_length=40)] = ""


class ThrottleIn(Input):
    """Limits of the release; 0 means none, or as declared."""

    instances: Annotated[int, Field(ge=0, le=1_000)] = 0
    rate_10s: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    concurrency: Annotated[int, Field(ge=0, le=100_000)] = 0


class GuardIn(Input):
    """What the new version must keep to; 0 means that a figure is not watched."""

    error_percent: Annotated[
        float, Field(ge=0, le=100, description="Share of calls that fail by author or platform, at most.")
    ] = 0.0
    p95_ms: Annotated[int, Field(ge=0, le=3_600_000, description="The queue included.")] = 0
    min_calls: Annotated[int, Field(ge=1, le=100_000, description="Fewer calls decide nothing.")] = 20
    window_s: Annotated[int, Field(ge=5, le=3_600)] = 60
    watch_s: Annotated[int, Field(ge=10, le=2_592_000, description="How long it is watched.")] = 3_600
    steps: Annotated[
        tuple[Annotated[int, Field(ge=1, le=100)], ...],
        Field(max_length=10, description="Rising percentages that it grows to while it is healthy."),
    ] = ()
    step_s: Annotated[int, Field(ge=0, le=604_800, description="How long each step must be healthy.")] = 0
    version: Annotated[Number | None, Field(description="Default: the newest with calls.")] = None

    def guard(self) -> Guard:
        """Return it as the domain knows it."""
        values = self.model_dump(exclude={"version"})
        return Guard(**values, version=str(self.version) if self.version else "")


class ReleaseIn(Input):
    """How the traffic shall go: one version with a percentage, or every part by itself."""

    version: Number | None = None
    percent: Annotated[
        int, Field(ge=1, le=100, description="Below 100 a canary: the rest stays where it is.")
    ] = 100
    parts: Annotated[list[PartIn] | None, Field(min_length=1, max_length=10)] = None
    throttle: ThrottleIn | None = None
    guard: GuardIn | None = None
    note: Annotated[str, Field(max_length=1_000)] = ""
    expect: Annotated[str, Field(max_length=80, description="Digest of the plan that was shown.")] = ""

    @model_validator(mode="after")
    def _one_way(self) -> ReleaseIn:
        if (self.version is None) == (self.parts is None):
            raise ValueError("give either version or parts")
        if self.percent < 100 and (self.parts is not None or self.throttle is not None):
            raise ValueError("a canary keeps the limits of what is live; to change them, give parts")
        return self

    @property
    def canary(self) -> bool:
        """Say whether one version joins what is live."""
        return self.version is not None and self.percent < 100

    def wishes(self) -> list[Wish]:
        """Return the wanted parts."""
        if self.parts is not None:
            return [Wish(part.version, part.percent, part.tag) for part in self.parts]
        return [Wish(self.version or 0, self.percent)]

    def wanted_throttle(self) -> Throttle | None:
        """Return the wanted limits, if any are named."""
        return Throttle(**self.throttle.model_dump()) if self.throttle else None

    def wanted_guard(self) -> Guard | None:
        """Return the wanted guard, if any."""
        return self.guard.guard() if self.guard else None


class RollbackIn(Input):
    """Where to go back to."""

    release: Annotated[Number | None, Field(description="Default: the one before the live one.")] = None
    newest_values: bool = False
    note: Annotated[str, Field(max_length=900, description="Why.")] = ""


class TagIn(Input):
    """Where function@tag shall lead."""

    version: Number
    note: Annotated[str, Field(max_length=1_000)] = ""


class TagOut(Output):
    """A name for a version in traffic."""

    tag: str
    version: str
    number: int
    percent: int


class PartOut(Output):
    """One version's part of the traffic, with the values it runs with: name to value id."""

    version: str
    number: int
    digest: str
    percent: int
    tag: str
    base: str
    settings: Annotated[dict[str, str], Field(validation_alias=AliasPath("bound", "settings"))]
    secrets: Annotated[dict[str, str], Field(validation_alias=AliasPath("bound", "secrets"))]


class ThrottleOut(Output):
    """Limits of the release."""

    instances: int
    rate_10s: int
    concurrency: int


class GuardOut(Output):
    """What watches the release; `back_to` is the release it would go back to, 0 for none."""

    error_percent: float
    p95_ms: int
    min_calls: int
    window_s: int
    watch_s: int
    steps: list[int]
    step_s: int
    version: str
    back_to: int


class ConditionOut(Output):
    """One statement about the release."""

    type: str
    status: bool
    reason: str
    message: str
    at: Annotated[Time, Field(validation_alias="at_ms")]


class ReleaseOut(Output):
    """A release with how it went, who made it and why."""

    id: str
    function: str
    number: int
    digest: str
    state: str
    parts: list[PartOut]
    throttle: ThrottleOut
    guard: GuardOut | None
    conditions: list[ConditionOut]
    unreviewed: Annotated[bool, Field(description="It holds a version that went out without any approval.")]
    rollback_of: int
    note: str
    created_by: str
    created_by_name: str
    created_at: Annotated[Time, Field(validation_alias="created_ms")]
    live_at: Annotated[OptionalTime, Field(validation_alias="live_ms")]
    ended_at: Annotated[OptionalTime, Field(validation_alias="ended_ms")]
    watched_until: Annotated[OptionalTime, Field(validation_alias="watch_until_ms")]


class PlanChangeOut(Output):
    """One thing that would differ from the live release."""

    kind: str
    name: str
    before: str
    after: str


class StandingOut(Output):
    """Whether a version may receive calls, and why."""

    number: int
    allowed: bool
    reason: str


class PlanOut(Output):
    """What a release would do, and why it would be refused."""

    digest: str
    etag: Annotated[str, Field(description="The traffic's ETag; send it as If-Match when you apply.")]
    live: int
    parts: list[PartOut]
    throttle: ThrottleOut
    guard: GuardOut | None
    unreviewed: Annotated[bool, Field(description="It would hold a version that nobody approved.")]
    changes: list[PlanChangeOut]
    approvals: list[StandingOut]
    warnings: list[str]
    steps: list[str]
    refusals: list[tuple[str, str]]


class StatusOut(Output):
    """Where a function's traffic stands."""

    live: ReleaseOut | None
    pending: ReleaseOut | None
    newest: ReleaseOut | None
