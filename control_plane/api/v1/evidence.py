"""The evidence of a review: what speaks for or against it beside the code."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.schemas import Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.api.v1.versions import ChangeOut
from control_plane.domain.access import Permission
from control_plane.domain.evidence import CostEstimate
from control_plane.domain.review_policies import Needs

blueprint = make_blueprint("evidence")


class RiskOut(Output):
    """One risk, and the sentence that says why."""

    risk: str
    reason: str


class EvidenceRunOut(Output):
    """A test run of exactly this digest."""

    id: str
    state: str
    status: int
    code: str
    duration_us: int
    created_by: str
    created_at: Annotated[Time, Field(validation_alias="created_ms")]


class FileSummaryOut(Output):
    """How much one file changes; the lines are in the diff."""

    path: str
    kind: str
    code: bool
    binary: bool
    added: int
    removed: int


class NeedsOut(Output):
    """What the stricter of the policy at submission and the present one comes to."""

    approvals: int
    # role -> approvals of it
    roles: dict[str, int]
    approvers: list[str]
    approval_days: int
    covers_values: bool
    # Approvals that count now.
    counted: int


class CostOut(Output):
    """An estimate, never a bill: memory times the time that test runs took, or the time-out."""

    estimate: bool
    basis: str
    memory_mb: int
    duration_ms: int
    gb_seconds_per_1000_calls: float


class EvidenceOut(Output):
    """Everything to weigh, against the last reviewed version; `base` is its number, 0 for none."""

    review: str
    digest: str
    base: int
    values: str
    needs: NeedsOut
    risks: list[RiskOut]
    test_runs: list[EvidenceRunOut]
    files: list[FileSummaryOut]
    dependencies: list[ChangeOut]
    sbom: list[ChangeOut]
    licences: list[ChangeOut]
    egress: list[ChangeOut]
    settings: list[ChangeOut]
    secrets: list[ChangeOut]
    limits: list[ChangeOut]
    cost_before: CostOut | None
    cost_after: CostOut


@blueprint.get("/reviews/<review>/evidence")
@requires(Permission.REVIEW_READ, Place.REVIEW)
@blueprint.output(EvidenceOut)
def get_evidence(review: str) -> dict[str, Any]:
    """Show what speaks for or against a review."""
    found = services().evidence.of(current_actor(), review)
    return {
        "review": found.review.id,
        "digest": found.review.digest,
        "base": found.base,
        "values": found.values,
        "needs": _needs(found.needs, found.counted),
        "risks": list(found.risks),
        "test_runs": list(found.test_runs),
        "files": list(found.files),
        "dependencies": list(found.dependencies),
        "sbom": list(found.sbom),
        "licences": list(found.licences),
        "egress": list(found.egress),
        "settings": list(found.settings),
        "secrets": list(found.secrets),
        "limits": list(found.limits),
        "cost_before": _cost(found.cost_before) if found.cost_before else None,
        "cost_after": _cost(found.cost_after),
    }


def _needs(needs: Needs, counted: int) -> dict[str, Any]:
    return {
        "approvals": needs.approvals,
        "roles": dict(needs.roles),
        "approvers": sorted({*needs.approvers, *needs.roles}),
        "approval_days": needs.approval_days,
        "covers_values": needs.values,
        "counted": counted,
    }


def _cost(cost: CostEstimate) -> dict[str, Any]:
    return {
        "estimate": True,
        "basis": cost.basis,
        "memory_mb": cost.memory_mb,
        "duration_ms": cost.duration_ms,
        "gb_seconds_per_1000_calls": cost.gb_seconds,
    }
