"""What is taken out of this Ingot, and where versions came from that arrived from another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Index, Table, Text

from control_plane.domain.moving import ExportKind, ExportState, GivenApproval
from control_plane.store.codec import Enumerated, Json
from control_plane.store.columns import number_column, text_column
from control_plane.store.tables import metadata

__all__ = ["exports", "origins"]


exports = Table(
    "exports",
    metadata,
    text_column("id", key=True),
    text_column("organization"),
    text_column("project"),
    text_column("function"),
    Column("kind", Enumerated(ExportKind), nullable=False),
    Column("numbers", Json(tuple[int, ...]), nullable=False),
    text_column("created_by"),
    number_column("created_ms"),
    text_column("namespace"),
    text_column("name"),
    Column("state", Enumerated(ExportState), nullable=False),
    text_column("reason"),
    Column("message", Text, nullable=False),
    Column("resource", Json(Mapping[str, Any]), nullable=False),
    Column("evidence", Json(Mapping[str, Any]), nullable=False),
    text_column("signer"),
    number_column("done_ms"),
    Index("exports_state", "state", "id"),
    Index("exports_function", "organization", "function", "id"),
)

origins = Table(
    "origins",
    metadata,
    text_column("version", key=True),
    text_column("organization"),
    text_column("function"),
    text_column("digest"),
    text_column("source_organization"),
    text_column("source_organization_name"),
    text_column("source_function"),
    text_column("source_name"),
    number_column("source_number"),
    text_column("signer"),
    text_column("trusted_as"),
    Column("approvals", Json(tuple[GivenApproval, ...]), nullable=False),
    Column("evidence", Json(Mapping[str, Any]), nullable=False),
    text_column("imported_by"),
    number_column("imported_ms"),
    Index("origins_function", "organization", "function"),
)
