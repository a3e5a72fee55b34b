"""Rows of files."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, func, select

from control_plane.domain.files import File, FileState
from control_plane.domain.list_filters import FileFilter
from control_plane.store.file_tables import files
from control_plane.store.rows import Rows

__all__ = ["FileRows"]

_EVERY: Final = FileFilter()


class FileRows:
    """What is known of files beside their bytes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._files = Rows(connection, files, File)

    def add(self, file: File) -> None:
        """Insert a file."""
        self._files.add(file)

    def update(self, file: File) -> None:
        """Write a file back."""
        self._files.update(file, "organization", "id")

    def get(self, organization: str, file: str) -> File | None:
        """Return a file by id, removed ones too."""
        return self._files.one(organization=organization, id=file)

    def anywhere(self, file: str) -> File | None:
        """Return a file by id over all tenants, for whoever holds a signed address of it."""
        return self._files.one(id=file)

    def list(
        self, organization: str, project: str, after: str, limit: int, wanted: FileFilter = _EVERY
    ) -> tuple[File, ...]:
        """Return a project's files behind an id that fit, oldest first, without removed ones."""
        statement = self._files.select(
            files.c.organization == organization,
            files.c.project == project,
            files.c.id > after,
            files.c.state != FileState.REMOVED,
        )
        if wanted.name:
            statement = statement.where(files.c.name.istartswith(wanted.name, autoescape=True))
        if wanted.state is not None:
            statement = statement.where(files.c.state == wanted.state)
        return self._files.all(statement.order_by(files.c.id).limit(limit))

    def used(self, organization: str, project: str) -> tuple[int, int]:
        """Return how many bytes and files a project holds or has announced."""
        statement = select(func.coalesce(func.sum(files.c.size), 0), func.count()).where(
            files.c.organization == organization,
            files.c.project == project,
            files.c.state != FileState.REMOVED,
        )
        total, count = self._connection.execute(statement).one()
        return int(total), int(count)

    def over(self, now_ms: int) -> tuple[int, int]:
        """Return how many files, of all tenants, are due for removal, and their bytes."""
        sums = select(func.count(), func.coalesce(func.sum(files.c.size), 0)).where(files.c.due_ms <= now_ms)
        count, size = self._connection.execute(sums).one()
        return int(count), int(size)

    def due(self, now_ms: int, limit: int) -> tuple[File, ...]:
        """Return files to delete over all tenants, for the worker alone."""
        statement = self._files.select(files.c.due_ms <= now_ms)
        return self._files.all(statement.order_by(files.c.due_ms).limit(limit))

    def delete(self, organization: str, file: str) -> None:
        """Forget a file whose bytes are gone."""
        self._connection.execute(
            delete(files).where(files.c.organization == organization, files.c.id == file)
        )
