"""Planning of releases: how traffic is divided anew, and what a plan says.

Pure: which approvals and values there are is read elsewhere and given in; what
differs from the live release is in `release_changes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.domain.release_guards import Guard
from control_plane.domain.releases import ReleasePart, Throttle
from control_plane.errors import Conflict, Invalid

__all__ = [
    "PlanChange",
    "ReleasePlan",
    "Standing",
    "Wish",
    "describe",
    "with_share",
    "with_tag",
    "without_tag",
]


@dataclass(frozen=True, slots=True)
class Wish:
    """One version's wanted part of the traffic. `tag` makes it callable as function@tag."""

    version: str | int
    percent: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class PlanChange:
    """One thing that would be different: what kind, which one, and how it was and will be."""

    # "share", "tag", "setting", "secret", "base", "limit" or "guard"
    kind: str
    name: str
    # Empty where there is none.
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether one version may receive calls, and why: approved, was_live, or what is missing."""

    number: int
    allowed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """What a release would do, before it is recorded."""

    parts: tuple[ReleasePart, ...]
    throttle: Throttle
    digest: str
    unreviewed: bool
    # Whole sentences, each one step or consequence.
    steps: tuple[str, ...]
    # Reasons why it would be refused, as (code, sentence); empty when it can go.
    refusals: tuple[tuple[str, str], ...] = ()
    guard: Guard | None = None
    # Number of the live release that it is compared with; 0 when nothing is live.
    live: int = 0
    # The traffic's ETag, which applying it may name.
    etag: str = ""
    changes: tuple[PlanChange, ...] = ()
    approvals: tuple[Standing, ...] = ()
    # Whole sentences; none of them keeps it from going.
    warnings: tuple[str, ...] = ()


def describe(parts: Sequence[ReleasePart]) -> tuple[str, ...]:
    """Return what a release with these parts does, one sentence for each step."""
    steps = []
    for part in parts:
        names = ", ".join([*part.bound.settings, *part.bound.secrets]) or "no values"
        tag = f" as @{part.tag}" if part.tag else ""
        steps.append(f"Version {part.number} receives {part.percent} %{tag}, with {names}, on {part.base}.")
    return (*steps, "What is live now serves until every new target answers.")


def with_share(parts: Sequence[ReleasePart], version: str, percent: int, tag: str = "") -> tuple[Wish, ...]:
    """Return the parts with `percent` for a version; the others keep their proportions in the rest.

    A version without calls and tag is left out. Below 100 percent the tag moves
    to the version; at 100 it keeps the one it had.
    """
    if not 0 <= percent <= 100:
        raise Invalid("A share is 0 to 100 percent.", field="percent")
    own = next((part for part in parts if part.version == version), None)
    others = [part for part in parts if part.version != version]
    if percent < 100 and not any(part.percent for part in others):
        raise Conflict(
            "No other version receives calls, so there is nothing to share with.",
            hint="Give every part with its percentage.",
        )
    kept = own.tag if own else ""
    chosen = tag if tag and percent < 100 else kept
    shared = _spread([part.percent for part in others], 100 - percent)
    wishes = [
        Wish(part.version, share, "" if part.tag == chosen else part.tag)
        for part, share in zip(others, shared, strict=True)
    ]
    return _useful([*wishes, Wish(version, percent, chosen)])


def with_tag(parts: Sequence[ReleasePart], version: str, tag: str) -> tuple[Wish, ...]:
    """Return the parts with a tag on a version; traffic stays where it is."""
    wishes = []
    for part in parts:
        if part.version == version and part.tag not in {"", tag}:
            raise Conflict(
                f"Version {part.number} is @{part.tag} already, and a version has one tag.",
                hint=f"Remove @{part.tag} or move it first.",
            )
        others = "" if part.tag == tag else part.tag
        wishes.append(Wish(part.version, part.percent, tag if part.version == version else others))
    if all(part.version != version for part in parts):
        wishes.append(Wish(version, 0, tag))
    return _useful(wishes)


def without_tag(parts: Sequence[ReleasePart], tag: str) -> tuple[Wish, ...]:
    """Return the parts without a tag; a version that only the tag kept is left out."""
    if all(part.tag != tag for part in parts):
        raise Conflict(f"No version is @{tag}.", hint="The live release lists its tags.")
    return _useful([Wish(part.version, part.percent, "" if part.tag == tag else part.tag) for part in parts])


def _useful(wishes: Sequence[Wish]) -> tuple[Wish, ...]:
    return tuple(wish for wish in wishes if wish.percent or wish.tag)


def _spread(weights: Sequence[int], total: int) -> list[int]:
    """Divide `total` in whole numbers by weight; the largest remainders are rounded up."""
    whole = sum(weights)
    if not whole:
        return [0 for _ in weights]
    exact = [weight * total for weight in weights]
    shares = [one // whole for one in exact]
    left = total - sum(shares)
    for index in sorted(range(len(weights)), key=lambda index: (-(exact[index] % whole), index))[:left]:
        shares[index] += 1
    return shares
