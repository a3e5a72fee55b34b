"""Rows of exports, and of the origins of imported versions."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from control_plane.domain.moving import Export, ExportState, Origin
from control_plane.store.export_tables import exports, origins
from control_plane.store.rows import Rows

__all__ = ["ExportRows", "OriginRows"]


class ExportRows:
    """Exports; old ones go when the function's next one is asked for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._exports = Rows(connection, exports, Export)

    def add(self, export: Export) -> None:
        """Insert an export."""
        self._exports.add(export)

    def update(self, export: Export) -> None:
        """Write an export back."""
        self._exports.update(export, "organization", "id")

    def get(self, organization: str, export: str) -> Export | None:
        """Return an export by id."""
        return self._exports.one(organization=organization, id=export)

    def waiting(self, limit: int) -> tuple[Export, ...]:
        """Return exports over all tenants that are to be signed, oldest first, for the worker alone."""
        statement = self._exports.select(exports.c.state == ExportState.WAITING)
        return self._exports.all(statement.order_by(exports.c.id).limit(limit))

    def forget(self, organization: str, function: str, before_ms: int) -> None:
        """Delete a function's exports from before a moment."""
        self._connection.execute(
            delete(exports).where(
                exports.c.organization == organization,
                exports.c.function == function,
                exports.c.created_ms < before_ms,
            )
        )


class OriginRows:
    """Where imported versions came from; as immutable as they are."""

    def __init__(self, connection: Connection) -> None:
        self._origins = Rows(connection, origins, Origin)

    def add(self, origin: Origin) -> None:
        """Insert an origin."""
        self._origins.add(origin)

    def update(self, origin: Origin) -> None:
        """Write newer evidence about the same version."""
        self._origins.update(origin, "organization", "version")

    def of_version(self, organization: str, version: str) -> Origin | None:
        """Return where a version came from; None when it was frozen here."""
        return self._origins.one(organization=organization, version=version)

    def of_function(self, organization: str, function: str) -> tuple[Origin, ...]:
        """Return where a function's versions came from."""
        return self._origins.every("source_number", organization=organization, function=function)
