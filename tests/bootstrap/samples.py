"""A plan to try things with."""

from __future__ import annotations

from pathlib import Path

from knative.bootstrap.plan import Plan, Profile

__all__ = ["a_plan"]


def a_plan(root: Path = Path("/srv/try"), profile: Profile = Profile.DURABLE) -> Plan:
    """Return a plan below one folder."""
    return Plan(profile=profile, state=root / "state", run=root / "run", cache=root / "cache")
