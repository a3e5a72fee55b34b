"""Decides which template and traffic a function's Knative Service has next.

A Service makes one revision at a time, so several versions come one after
another, and traffic moves only to revisions that answer. Pure: each step
follows from what is wanted and what is there, never from an earlier step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from operators.resources.common import Options
from operators.resources.knative_service import make_template
from operators.resources.model import Function, Version

__all__ = ["Revision", "Rollout", "plan_rollout"]


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision that is there."""

    name: str
    # Its version's digest.
    digest: str
    # None while nobody knows.
    ready: bool | None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What the Service gets now."""

    template: dict[str, Any]
    traffic: tuple[dict[str, Any], ...]
    # version name -> revision name
    revisions: Mapping[str, str]
    # All calls go as the resource says.
    settled: bool


def plan_rollout(
    function: Function,
    options: Options,
    service: Mapping[str, Any] | None,
    revisions: Mapping[str, Revision],
    down: frozenset[str] = frozenset(),
) -> Rollout:
    """Return the next template and traffic; `down` are digests of versions that get no more calls."""
    templates = {one.name: make_template(function, one, options) for one in function.versions}
    named = {name: str(template["metadata"]["name"]) for name, template in templates.items()}
    chosen = _next_template(function.versions, named, _current_template(service), revisions)
    ready = {one.name for one in function.versions if _is_ready(revisions, named[one.name])}
    settled = all(one.name in ready for one in function.versions if one.percent)
    if settled:
        shares = {named[one.name]: one.percent for one in function.versions if one.percent}
    else:
        shares = _held(service, revisions, down) or _first(function.versions, named, chosen, revisions)
    # Before anything was ever routed a tag can wait for its revision; later it would hold up all others.
    first = not any(one.ready for one in revisions.values())
    tagged = [one for one in function.versions if one.name in ready or (first and named[one.name] in shares)]
    return Rollout(
        template=templates[chosen],
        traffic=tuple(_traffic(shares, tagged, named)),
        revisions=named,
        settled=settled,
    )


def _current_template(service: Mapping[str, Any] | None) -> str:
    if service is None:
        return ""
    template = service.get("spec", {}).get("template", {})
    return str(template.get("metadata", {}).get("name", ""))


def _next_template(
    versions: Sequence[Version],
    named: Mapping[str, str],
    current: str,
    revisions: Mapping[str, Revision],
) -> str:
    """Return the version whose template comes next: what is missing, one by one, most calls first."""
    missing = [one for one in versions if named[one.name] not in revisions]
    waiting = [one for one in missing if named[one.name] == current]
    if waiting:
        return waiting[0].name
    if missing:
        return max(missing, key=lambda one: one.percent).name
    kept = [one for one in versions if named[one.name] == current]
    # Going back to another template for nothing would only be one more change.
    return kept[0].name if kept else max(versions, key=lambda one: one.percent).name


def _is_ready(revisions: Mapping[str, Revision], name: str) -> bool:
    known = revisions.get(name)
    return known is not None and known.ready is True


def _held(
    service: Mapping[str, Any] | None, revisions: Mapping[str, Revision], down: frozenset[str]
) -> dict[str, int]:
    """Return who gets calls now, as long as all of them may and can; else nobody."""
    shares: dict[str, int] = {}
    for one in (service or {}).get("spec", {}).get("traffic", ()):
        if one.get("percent"):
            name = str(one.get("revisionName", ""))
            shares[name] = shares.get(name, 0) + int(one["percent"])
    held = [revisions.get(name) for name in shares]
    if sum(shares.values()) != 100 or any(one is None or one.digest in down for one in held):
        return {}
    return shares


def _first(
    versions: Sequence[Version], named: Mapping[str, str], chosen: str, revisions: Mapping[str, Revision]
) -> dict[str, int]:
    """Return the shares when nothing serves yet: as wanted once every revision is there."""
    serving = [one for one in versions if one.percent]
    if all(named[one.name] in revisions or one.name == chosen for one in serving):
        return {named[one.name]: one.percent for one in serving}
    return {named[chosen]: 100}


def _traffic(
    shares: Mapping[str, int], tagged: Sequence[Version], named: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the entries in a fixed order: shares, the versions' own names, further tags."""
    entries = [
        {"revisionName": name, "percent": shares[name], "latestRevision": False} for name in sorted(shares)
    ]
    tags = sorted((tag, named[one.name]) for one in tagged for tag in (one.name, one.tag) if tag)
    entries += [
        {"revisionName": name, "tag": tag, "percent": 0, "latestRevision": False} for tag, name in tags
    ]
    return entries
