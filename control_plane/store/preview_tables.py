"""What authors preview at this moment."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, Index, String, Table, UniqueConstraint

from control_plane.domain.functions import Declaration
from control_plane.store.codec import Json
from control_plane.store.tables import metadata

__all__ = ["previews"]

previews = Table(
    "previews",
    metadata,
    Column("id", String, primary_key=True),
    Column("organization", String, nullable=False),
    Column("project", String, nullable=False),
    Column("function", String, nullable=False),
    Column("user", String, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("digest", String, nullable=False),
    Column("declaration", Json(Declaration), nullable=False),
    Column("layers", Json(Mapping[str, str]), nullable=False),
    Column("settings", Json(Mapping[str, str]), nullable=False),
    Column("secrets", Json(Mapping[str, str]), nullable=False),
    Column("key_sha256", String, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    UniqueConstraint("function", "user", "number", name="previews_of_a_person"),
    Index("previews_expires", "expires_ms"),
)
