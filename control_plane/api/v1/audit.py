"""The audit chain: who did what to what, and whether it is intact."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission

blueprint = make_blueprint("audit")


class AuditQuery(PageQuery):
    """Which entries to list."""

    subject: Annotated[str | None, Field(max_length=100, description="Noun and id: function/fn_…")] = None


class AuditEntryOut(Output):
    """Who did what to what."""

    sequence: int
    id: str
    at: Annotated[Time, Field(validation_alias="at_ms")]
    actor: dict[str, str]
    action: str
    subject: str
    outcome: str
    request: str
    details: dict[str, Any]
    previous: str
    hash: str


class FindingOut(Output):
    """One thing that is wrong with the chain."""

    kind: str
    sequence: int
    message: str


class VerificationOut(Output):
    """What verifying the chain found."""

    intact: bool
    organization: str
    entries: int
    checkpoints: int
    findings: list[FindingOut]


@blueprint.get("/audit")
@requires(Permission.AUDIT_READ, Place.ORGANIZATION)
@blueprint.input(AuditQuery, location="query")
@blueprint.output(Page[AuditEntryOut])
def list_entries(query_data: AuditQuery) -> Response:
    """List the organization's entries, oldest first."""
    page = services().audit.entries(
        current_actor(),
        after=int(list_position(query_data) or 0),
        limit=query_data.limit,
        subject=query_data.subject or "",
    )
    return page_response(AuditEntryOut, page.items, query_data, page.next or None)


@blueprint.get("/audit/verification")
@requires(Permission.AUDIT_READ, Place.ORGANIZATION)
@blueprint.output(VerificationOut)
def verify_chain() -> dict[str, Any]:
    """Recompute every hash and compare with every signed checkpoint."""
    found = services().audit.verify(current_actor())
    return {
        "intact": not found.findings,
        "organization": found.organization,
        "entries": found.entries,
        "checkpoints": found.checkpoints,
        "findings": list(found.findings),
    }
