"""The tables of what is shared and of what was installed from it."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, String, Table, Text, UniqueConstraint

from control_plane.domain.sharing import ShareKind
from control_plane.store.codec import Enumerated, Json
from control_plane.store.columns import number_column, text_column
from control_plane.store.tables import metadata

__all__ = ["installations", "share_words", "shares"]


shares = Table(
    "shares",
    metadata,
    text_column("id", key=True),
    text_column("organization"),
    text_column("project"),
    text_column("function"),
    text_column("version"),
    number_column("number"),
    text_column("digest"),
    Column("kind", Enumerated(ShareKind), nullable=False),
    text_column("name"),
    Column("summary", Text, nullable=False),
    Column("tags", Json(tuple[str, ...]), nullable=False),
    text_column("reach"),
    Column("reviewed", Boolean, nullable=False),
    text_column("shared_by"),
    number_column("created_ms"),
    number_column("updated_ms"),
    number_column("revision"),
    UniqueConstraint("function", "kind", "reach", name="shares_reach_once"),
    Index("shares_reach", "reach", "id"),
    Index("shares_owner", "organization", "id"),
)

# What a share is found by: its tags as `#tag`, and the words of its name, owner and summary.
share_words = Table(
    "share_words",
    metadata,
    # Compared character by character, so that every word that begins so lies in one range.
    Column(
        "word", String().with_variant(String(collation="C"), "postgresql"), primary_key=True, nullable=False
    ),
    text_column("share", key=True),
    Index("share_words_share", "share"),
)

installations = Table(
    "installations",
    metadata,
    text_column("function", key=True),
    text_column("organization"),
    text_column("project"),
    text_column("share"),
    text_column("source_organization"),
    text_column("source_name"),
    number_column("number"),
    text_column("digest"),
    text_column("installed_by"),
    number_column("installed_ms"),
    Index("installations_organization", "organization", "function"),
)
