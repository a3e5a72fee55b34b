"""The table of files. Their bytes are not here: an adapter keeps them under the file's id."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table

from control_plane.domain.files import FileState
from control_plane.store.codec import Enumerated
from control_plane.store.columns import number_column, text_column
from control_plane.store.tables import metadata

__all__ = ["files"]


files = Table(
    "files",
    metadata,
    Column("id", String, primary_key=True),
    text_column("organization"),
    text_column("project"),
    text_column("name"),
    text_column("media_type"),
    number_column("size"),
    text_column("digest"),
    Column("state", Enumerated(FileState), nullable=False),
    text_column("created_by"),
    number_column("created_ms"),
    number_column("expires_ms"),
    number_column("due_ms"),
    Index("files_project", "organization", "project", "id"),
    Index("files_due", "due_ms"),
)
