"""How the evidence on a review is shown: what speaks for or against it, in lines that a person reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from control_plane.cli.records import plain

__all__ = ["evidence_lines", "show_evidence"]

_CHANGES: Final = ("dependencies", "sbom", "licences", "egress", "settings", "secrets", "limits")


def show_evidence(found: Mapping[str, Any]) -> None:
    """Print the evidence."""
    for line in evidence_lines(found):
        click.echo(plain(line))


def evidence_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each fact; kinds without any change are left out."""
    against = f"version {found['base']}" if found["base"] else "nothing: no version was reviewed before"
    yield f"digest        {found['digest']}"
    yield f"against       {against}"
    yield f"needs         {_needs(found['needs'])}"
    for risk in found["risks"] or [{"risk": "none", "reason": ""}]:
        yield f"risk          {risk['risk']}  {risk['reason']}".rstrip()
    for run in found["test_runs"]:
        how = run["code"] or run["status"] or ""
        yield f"test run      {run['state']} {how}, {run['duration_us'] / 1000:.1f} ms, {run['created_at']}"
    if not found["test_runs"]:
        yield "test run      none of exactly these bytes"
    for file in found["files"]:
        size = "binary" if file["binary"] else f"+{file['added']} -{file['removed']}"
        yield f"file          {file['kind']} {file['path']}  {size}{'  code' if file['code'] else ''}"
    for kind in _CHANGES:
        for change in found[kind]:
            before, after = (_side(change[side]) for side in ("before", "after"))
            yield f"{kind:<13} {change['name']}: {before} -> {after}"
    yield f"cost          {_cost(found['cost_before'], found['cost_after'])}"


def _needs(needs: Mapping[str, Any]) -> str:
    roles = "".join(f", {count} of them {role}" for role, count in needs["roles"].items())
    values = ", beside the values" if needs["covers_values"] else ""
    asked = f"{needs['counted']} of {needs['approvals']} approvals{roles}{values}"
    return f"{asked}; they count {needs['approval_days']} days"


def _cost(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    now = f"{after['gb_seconds_per_1000_calls']:g} GB-s for 1,000 calls, by its {after['basis']}"
    return f"{now}; before {before['gb_seconds_per_1000_calls']:g}" if before else now


def _side(value: object) -> str:
    return "-" if value is None else str(value)
