"""The table of files. Their bytes are not here: an adapter keeps them under the file's id."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table

from control_plane.domain.files import FileState
from control_plane.store.codec import Enumerated
from control_plane.store.tables import metadata

__all__ = ["files"]


def _text(name: str) -> Column[str]:
    return Column(name, String, nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, autoincrement=False)


files = Table(
    "files",
    metadata,
    Column("id", String, primary_key=True),
    _text("organization"),
    _text("project"),
    _text("name"),
    _text("media_type"),
    _number("size"),
    _text("digest"),
    Column("state", Enumerated(FileState), nullable=False),
    _text("created_by"),
    _number("created_ms"),
    _number("expires_ms"),
    _number("due_ms"),
    Index("files_project", "organization", "project", "id"),
    Index("files_due", "due_ms"),
)
