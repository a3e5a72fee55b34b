"""Rows of previews."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from control_plane.domain.previews import Preview
from control_plane.store.preview_tables import previews
from control_plane.store.rows import Rows

__all__ = ["PreviewRows"]


class PreviewRows:
    """What authors preview; an ended one leaves no row."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._previews = Rows(connection, previews, Preview)

    def add(self, preview: Preview) -> None:
        """Insert a preview."""
        self._previews.add(preview)

    def update(self, preview: Preview) -> None:
        """Write a preview back."""
        self._previews.update(preview, "organization", "id")

    def drop(self, preview: Preview) -> None:
        """Remove a preview."""
        self._connection.execute(
            delete(previews).where(
                previews.c.organization == preview.organization, previews.c.id == preview.id
            )
        )

    def get(self, organization: str, preview: str) -> Preview | None:
        """Return a preview by id."""
        return self._previews.one(organization=organization, id=preview)

    def of_function(self, organization: str, function: str) -> tuple[Preview, ...]:
        """Return a function's previews; they are few."""
        statement = self._previews.select(
            previews.c.organization == organization, previews.c.function == function
        )
        return self._previews.all(statement.order_by(previews.c.id))

    def alive(self, now_ms: int) -> tuple[Preview, ...]:
        """Return all previews that run, over all tenants, for the reconciler alone."""
        statement = self._previews.select(previews.c.expires_ms > now_ms)
        return self._previews.all(statement.order_by(previews.c.id))

    def expired(self, now_ms: int, limit: int) -> tuple[Preview, ...]:
        """Return previews over all tenants whose time is over, for the worker alone."""
        statement = self._previews.select(previews.c.expires_ms <= now_ms)
        return self._previews.all(statement.order_by(previews.c.expires_ms).limit(limit))
