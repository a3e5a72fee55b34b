"""The tables of what is shared and of what was installed from it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table, Text, UniqueConstraint

from control_plane.domain.sharing import ShareKind
from control_plane.store.codec import Enumerated, Json
from control_plane.store.tables import metadata

__all__ = ["installations", "share_words", "shares"]


def _text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, String, primary_key=key, nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, autoincrement=False)


shares = Table(
    "shares",
    metadata,
    _text("id", key=True),
    _text("organization"),
    _text("project"),
    _text("function"),
    _text("version"),
    _number("number"),
    _text("digest"),
    Column("kind", Enumerated(ShareKind), nullable=False),
    _text("name"),
    Column("summary", Text, nullable=False),
    Column("tags", Json(tuple[str, ...]), nullable=False),
    _text("reach"),
    Column("reviewed", Boolean, nullable=False),
    _text("shared_by"),
    _number("created_ms"),
    _number("updated_ms"),
    _number("revision"),
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
    _text("share", key=True),
    Index("share_words_share", "share"),
)

installations = Table(
    "installations",
    metadata,
    _text("function", key=True),
    _text("organization"),
    _text("project"),
    _text("share"),
    _text("source_organization"),
    _text("source_name"),
    _number("number"),
    _text("digest"),
    _text("installed_by"),
    _number("installed_ms"),
    Index("installations_organization", "organization", "function"),
)
