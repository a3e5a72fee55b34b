"""What differs between the live release and a planned one, and what to be warned of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from control_plane.domain.release_guards import Guard
from control_plane.domain.release_plans import PlanChange
from control_plane.domain.releases import Release, ReleasePart, Throttle

__all__ = ["changes_between", "warnings_between"]


def changes_between(
    live: Release | None,
    parts: Sequence[ReleasePart],
    throttle: Throttle,
    guard: Guard | None,
    numbers: Mapping[str, int],
) -> tuple[PlanChange, ...]:
    """Return what differs from the live release; `numbers` says which number a value's id has."""
    before = {part.version: part for part in live.parts} if live else {}
    after = {part.version: part for part in parts}
    old = live.throttle if live else Throttle()
    return (
        *_traffic_changes(before, after),
        *(change for part in parts for change in _value_changes(_compared(before, part), part, numbers)),
        *(
            PlanChange("limit", name, str(getattr(old, name)), str(getattr(throttle, name)))
            for name in ("instances", "rate_10s", "concurrency")
            if getattr(old, name) != getattr(throttle, name)
        ),
        *_guard_changes(live.guard if live else None, guard),
    )


def warnings_between(
    live: Release | None,
    pending: Release | None,
    parts: Sequence[ReleasePart],
    guard: Guard | None,
    *,
    unreviewed: bool,
) -> tuple[str, ...]:
    """Return what an operator should know; none of it keeps the release from going."""
    found = []
    if pending is not None:
        found.append(f"Release {pending.number} is on its way and would be given up.")
    if unreviewed:
        found.append("The project asks for no approval, so the release is marked unreviewed for ever.")
    if guard is not None and not guard.back_to:
        found.append("No release is live to go back to, so the guard could only tell of trouble.")
    if live is not None:
        newest = max(part.number for part in live.parts if part.percent)
        found += [
            f"Version {part.number} is older than version {newest}, which is live."
            for part in parts
            if part.percent
            and part.number < newest
            and all(one.version != part.version for one in live.parts)
        ]
        kept = {part.tag for part in parts}
        found += [
            f"@{part.tag} leads nowhere afterwards."
            for part in live.parts
            if part.tag and part.tag not in kept
        ]
    return tuple(found)


def _compared(before: Mapping[str, ReleasePart], part: ReleasePart) -> ReleasePart | None:
    """Return what a part's values are compared with: the same version's, else the largest part's."""
    return before.get(part.version) or max(before.values(), key=lambda one: one.percent, default=None)


def _traffic_changes(
    before: Mapping[str, ReleasePart], after: Mapping[str, ReleasePart]
) -> Iterator[PlanChange]:
    numbers = {part.version: part.number for part in (*before.values(), *after.values())}
    for version in sorted(numbers, key=lambda version: numbers[version]):
        one, other = before.get(version), after.get(version)
        name = f"version {numbers[version]}"
        was, will = (f"{part.percent} %" if part else "" for part in (one, other))
        if was != will:
            yield PlanChange("share", name, was, will)
        if one and other and one.base != other.base:
            yield PlanChange("base", name, one.base, other.base)
    tagged = [{part.tag: f"version {part.number}" for part in side.values()} for side in (before, after)]
    for tag in sorted(tagged[0].keys() | tagged[1].keys()):
        was, will = (side.get(tag, "") for side in tagged)
        if tag and was != will:
            yield PlanChange("tag", f"@{tag}", was, will)


def _value_changes(
    before: ReleasePart | None, after: ReleasePart, numbers: Mapping[str, int]
) -> Iterator[PlanChange]:
    sides = (
        ("setting", before.bound.settings if before else {}, after.bound.settings),
        ("secret", before.bound.secrets if before else {}, after.bound.secrets),
    )
    for kind, one, other in sides:
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                was, will = (f"number {numbers[side[name]]}" if name in side else "" for side in (one, other))
                yield PlanChange(kind, f"{name} of version {after.number}", was, will)


def _guard_changes(before: Guard | None, after: Guard | None) -> Iterator[PlanChange]:
    was, will = (replace(guard, version="", back_to=0) if guard else None for guard in (before, after))
    if was != will:
        yield PlanChange("guard", "guard", _guard_text(was), _guard_text(will))


def _guard_text(guard: Guard | None) -> str:
    if guard is None:
        return ""
    words = [
        f"at most {guard.error_percent:g} % errors" if guard.error_percent else "",
        f"p95 at most {guard.p95_ms} ms" if guard.p95_ms else "",
        f"from {guard.min_calls} calls in {guard.window_s} s",
        f"then {', '.join(f'{step} %' for step in guard.steps)}" if guard.steps else "",
    ]
    return ", ".join(text for text in words if text)
