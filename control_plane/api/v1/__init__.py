"""The routes of /api/v1, one module for each noun: they translate, services decide."""

from __future__ import annotations

from typing import Final

from apiflask import APIBlueprint

from control_plane.api.v1 import (
    access,
    api_keys,
    audit,
    departments,
    drafts,
    events,
    evidence,
    exports,
    files,
    functions,
    imports,
    invocations,
    logs,
    market,
    members,
    monitor,
    organizations,
    policies,
    previews,
    projects,
    releases,
    reviews,
    sessions,
    settings,
    shares,
    starters,
    takedowns,
    test_runs,
    tokens,
    usage,
    versions,
)

__all__ = ["BLUEPRINTS"]

BLUEPRINTS: Final[tuple[APIBlueprint, ...]] = tuple(
    noun.blueprint
    for noun in (
        sessions,
        tokens,
        organizations,
        departments,
        projects,
        policies,
        members,
        access,
        functions,
        drafts,
        test_runs,
        previews,
        versions,
        reviews,
        evidence,
        takedowns,
        releases,
        exports,
        imports,
        api_keys,
        settings,
        usage,
        invocations,
        monitor,
        logs,
        audit,
        events,
        starters,
        files,
        shares,
        market,
    )
)
