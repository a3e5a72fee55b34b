"""What is taken out of this Ingot, and where versions came from that arrived from another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from control_plane.domain.moving import ExportKind, ExportState, GivenApproval
from control_plane.store.codec import Enumerated, Json
from control_plane.store.tables import metadata

__all__ = ["exports", "origins"]


def _text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, String, primary_key=key, nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, autoincrement=False)


exports = Table(
    "exports",
    metadata,
    _text("id", key=True),
    _text("organization"),
    _text("project"),
    _text("function"),
    Column("kind", Enumerated(ExportKind), nullable=False),
    Column("numbers", Json(tuple[int, ...]), nullable=False),
    _text("created_by"),
    _number("created_ms"),
    _text("namespace"),
    _text("name"),
    Column("state", Enumerated(ExportState), nullable=False),
    _text("reason"),
    Column("message", Text, nullable=False),
    Column("resource", Json(Mapping[str, Any]), nullable=False),
    Column("evidence", Json(Mapping[str, Any]), nullable=False),
    _text("signer"),
    _number("done_ms"),
    Index("exports_state", "state", "id"),
    Index("exports_function", "organization", "function", "id"),
)

origins = Table(
    "origins",
    metadata,
    _text("version", key=True),
    _text("organization"),
    _text("function"),
    _text("digest"),
    _text("source_organization"),
    _text("source_organization_name"),
    _text("source_function"),
    _text("source_name"),
    _number("source_number"),
    _text("signer"),
    _text("trusted_as"),
    Column("approvals", Json(tuple[GivenApproval, ...]), nullable=False),
    Column("evidence", Json(Mapping[str, Any]), nullable=False),
    _text("imported_by"),
    _number("imported_ms"),
    Index("origins_function", "organization", "function"),
)
