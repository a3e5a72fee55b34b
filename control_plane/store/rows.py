"""What every row module needs: reading dataclasses from rows and writing them back.

No statement about a particular table lives here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from control_plane.store.codec import row_values

__all__ = ["Rows", "chunks", "insert_missing"]

# Databases limit how many parameters a statement has.
_MOST: Final = 500

T = TypeVar("T")


class Rows(Generic[T]):
    """The rows of one table as instances of one dataclass with the same field names."""

    def __init__(self, connection: Connection, table: Table, kind: type[T]) -> None:
        self._connection = connection
        self._table = table
        self._kind = kind
        self._columns = [table.c[name] for name in kind.__dataclass_fields__]  # type: ignore[attr-defined]

    def select(self, *where: ColumnElement[bool]) -> Select[Any]:
        """Return a statement for whole instances."""
        return select(*self._columns).where(and_(True, *where))

    def all(self, statement: Select[Any]) -> tuple[T, ...]:
        """Return every row of a statement made by `select`."""
        return tuple(self._kind(**row._mapping) for row in self._connection.execute(statement))

    def one(self, *where: ColumnElement[bool]) -> T | None:
        """Return the only row, or None."""
        row = self._connection.execute(self.select(*where)).one_or_none()
        return None if row is None else self._kind(**row._mapping)

    def add(self, value: T, **more: Any) -> None:
        """Insert one row; `more` gives columns that the dataclass does not have."""
        self._connection.execute(insert(self._table).values(**row_values(value), **more))

    def update(self, value: T, *key: str) -> None:
        """Write every field of the row that has these fields; it must exist."""
        values = row_values(value)
        where = [self._table.c[name] == values[name] for name in key]
        changed = self._connection.execute(update(self._table).where(*where).values(**values))
        if changed.rowcount != 1:
            raise LookupError(f"{self._table.name} has no row with this {' and '.join(key)}")


def chunks(ids: Collection[str]) -> Iterator[list[str]]:
    """Return the ids in lists that fit into one statement each."""
    ordered = sorted(ids)
    for begin in range(0, len(ordered), _MOST):
        yield ordered[begin : begin + _MOST]


def insert_missing(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows whose key is not there yet."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for row in rows:
        connection.execute(dialect.insert(table).values(**row).on_conflict_do_nothing())
