"""The tables of departments and of members that an organization has disabled."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table, UniqueConstraint

from control_plane.store.codec import Json
from control_plane.store.tables import metadata

__all__ = ["departments", "disabled_members"]

departments = Table(
    "departments",
    metadata,
    Column("id", String, primary_key=True),
    Column("organization", String, nullable=False),
    Column("name", String, nullable=False),
    Column("title", String, nullable=False),
    Column("path", Json(tuple[str, ...]), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    UniqueConstraint("organization", "name", name="departments_name"),
)

# Users stand above organizations, so being disabled in one of them is a row of its own.
disabled_members = Table(
    "disabled_members",
    metadata,
    Column("organization", String, primary_key=True),
    Column("user", String, primary_key=True),
    Column("disabled_ms", BigInteger, nullable=False),
    Column("disabled_by", String, nullable=False),
)
