"""The table of content that nothing named when a clean-up looked."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table

from control_plane.store.tables import metadata

__all__ = ["unneeded_content"]

unneeded_content = Table(
    "unneeded_content",
    metadata,
    Column("kind", String, primary_key=True),
    Column("digest", String, primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
)
