"""The table of deliveries: events that one of the platform's consumers has not worked on yet."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from control_plane.store.tables import metadata

__all__ = ["deliveries"]

deliveries = Table(
    "deliveries",
    metadata,
    Column("event", String, primary_key=True),
    Column("consumer", String, primary_key=True),
    Column("organization", String, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Index("deliveries_due", "due_ms"),
)
