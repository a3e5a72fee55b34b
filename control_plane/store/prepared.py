"""Statements that are compiled once and then handed to the driver as they are (ADR 0083).

The library still writes the SQL and knows each column's type. What is left out
is its work at each execution, which costs several times the database's own
answer where one row is looked up. Only statements that live as long as the
process belong here, as nothing that was compiled is ever forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

__all__ = ["change_rows", "find_rows", "send_text"]

_Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A statement in one dialect."""

    text: str
    # Values that are part of the statement.
    fixed: Mapping[str, Any]
    # Name and what writes it, in the driver's order.
    parameters: tuple[tuple[str, _Convert | None], ...]
    # The driver takes values by place, not by name.
    by_place: bool
    # What reads a column that is not stored as it is, by its place.
    readers: tuple[tuple[int, _Convert], ...]

    def filled(self, values: Mapping[str, Any]) -> tuple[Any, ...] | dict[str, Any]:
        """Return the values as the driver takes them."""
        known = {**self.fixed, **values} if self.fixed else values
        if self.by_place:
            return tuple(
                known[name] if write is None else write(known[name]) for name, write in self.parameters
            )
        return {name: known[name] if write is None else write(known[name]) for name, write in self.parameters}

    def read(self, row: Sequence[Any]) -> Sequence[Any]:
        """Return a row as the columns' types say."""
        if not self.readers:
            return row
        known = list(row)
        for place, reader in self.readers:
            known[place] = reader(known[place])
        return known


# By statement and dialect; the statements themselves stay as long as the process.
_KNOWN: Final[dict[tuple[Executable, str], _Prepared]] = {}


def find_rows(
    connection: Connection, statement: Executable, values: Mapping[str, Any]
) -> list[Sequence[Any]]:
    """Return every row that is selected or returned, its columns in the order of the statement."""
    prepared = _ready(connection, statement)
    with _sent(connection, prepared.text, prepared.filled(values)) as cursor:
        return [prepared.read(row) for row in cursor.fetchall()]


def change_rows(connection: Connection, statement: Executable, values: Mapping[str, Any]) -> int:
    """Insert, update or delete; return how many rows it met."""
    prepared = _ready(connection, statement)
    with _sent(connection, prepared.text, prepared.filled(values)) as cursor:
        return int(cursor.rowcount)


def send_text(connection: Connection, text: str) -> None:
    """Send a command without parameters or rows, such as BEGIN."""
    with _sent(connection, text, ()):
        pass


@contextmanager
def _sent(connection: Connection, text: str, values: Any) -> Iterator[Any]:
    """Yield the driver's cursor behind a statement; its errors become those of the library."""
    dispatch: Any = connection.engine.dispatch
    dialect = connection.dialect
    cursor = connection.connection.cursor()
    try:
        # Whoever watches the engine's statements sees these too.
        dispatch.before_cursor_execute(connection, cursor, text, values, None, False)
        cursor.execute(text, values)
        dispatch.after_cursor_execute(connection, cursor, text, values, None, False)
        yield cursor
    except dialect.loaded_dbapi.Error as error:
        if dialect.is_disconnect(error, connection.connection, cursor):
            # It fails in the same way, and the library then gives up every connection of the pool.
            connection.exec_driver_sql("SELECT 1")
        base = dialect.loaded_dbapi.Error
        raise DBAPIError.instance(text, None, error, base, hide_parameters=True, dialect=dialect) from error
    finally:
        cursor.close()


def _ready(connection: Connection, statement: Executable) -> _Prepared:
    if not connection.in_transaction():
        connection.begin()
    dialect = connection.dialect
    known = _KNOWN.get((statement, dialect.name))
    if known is None:
        known = _KNOWN[statement, dialect.name] = _prepare(dialect, statement)
    return known


def _prepare(dialect: Dialect, statement: Any) -> _Prepared:
    compiled: SQLCompiler = statement.compile(dialect=dialect)
    if compiled.post_compile_params or compiled.literal_execute_params:
        raise TypeError("a statement whose text depends on its values cannot be prepared")
    names = compiled.positiontup or tuple(compiled.binds)
    # What a SELECT shows, or the others return.
    columns = getattr(statement, "exported_columns", ())
    readers = ((place, _reader(dialect, column.type)) for place, column in enumerate(columns))
    return _Prepared(
        str(compiled),
        {name: bind.value for name, bind in compiled.binds.items() if not bind.required},
        tuple((name, _writer(dialect, compiled.binds[name].type)) for name in names),
        bool(compiled.positional),
        tuple((place, reader) for place, reader in readers if reader is not None),
    )


def _writer(dialect: Dialect, kind: TypeEngine[Any]) -> _Convert | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _reader(dialect: Dialect, kind: TypeEngine[Any]) -> _Convert | None:
    return kind.dialect_impl(dialect).result_processor(dialect, None)
