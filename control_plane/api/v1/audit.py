"""The audit chain: who did what to what, and whether it is intact."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Output, Time
from control_plane.api.spans import SpanQuery, unix_ms
from control_plane.api.state import services
from control_plane.api.v1.blueprints import download, make_blueprint
from control_plane.domain.access import Permission
from control_plane.services.audit import AuditFilter

blueprint = make_blueprint("audit")


class AuditQuery(PageQuery, SpanQuery):
    """Which entries to list."""

    actor: Annotated[str, Field(max_length=320, description="A user's id or e-mail address.")] = ""
    action: Annotated[str, Field(max_length=100, description="Exactly, e.g. review.approve.")] = ""
    subject: Annotated[str, Field(max_length=100, description="Noun and id: function/fn_…")] = ""
    request_id: Annotated[str, Field(max_length=128, description="The API request that did it.")] = ""
    order: Literal["oldest", "newest"] = "oldest"


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


class KeyOut(Output):
    """What others verify with."""

    # Ed25519, base64
    public_key: str


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
    """List the organization's entries that fit, oldest first unless asked otherwise."""
    wanted = AuditFilter(
        actor=query_data.actor,
        action=query_data.action,
        subject=query_data.subject,
        request=query_data.request_id,
        start_ms=unix_ms(query_data.start),
        end_ms=unix_ms(query_data.end),
    )
    page = services().audit.entries(
        current_actor(),
        wanted,
        after=int(list_position(query_data) or 0),
        limit=query_data.limit,
        newest_first=query_data.order == "newest",
    )
    return page_response(AuditEntryOut, page.items, query_data, page.next or None)


@blueprint.get("/audit/export")
@requires(Permission.AUDIT_READ, Place.ORGANIZATION)
@blueprint.doc(responses=download("JSON lines: entries, checkpoints and a seal.", "application/jsonl"))
def export_chain() -> Response:
    """Download the whole chain with its signatures; `ingot audit verify FILE` checks it anywhere."""
    response = Response(services().audit.export(current_actor()), content_type="application/jsonl")
    response.headers["Content-Disposition"] = 'attachment; filename="audit.jsonl"'
    return response


@blueprint.get("/audit/key")
@requires(Permission.AUDIT_READ, Place.ORGANIZATION)
@blueprint.output(KeyOut)
def show_key() -> dict[str, str]:
    """Show the public key; keep it elsewhere, so that an export proves something."""
    return {"public_key": services().audit.public_key(current_actor())}


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
