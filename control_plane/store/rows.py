"""What every row module needs: reading dataclasses from rows and writing them back.

No statement about a particular table lives here. A statement that many requests
send is built once: making it anew costs more than the database's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from control_plane.store.codec import row_values
from control_plane.store.prepared import change_rows, find_rows

__all__ = [
    "BEHIND_ALL",
    "ONE_MOMENT",
    "Rows",
    "chunks",
    "filled",
    "find_among",
    "insert_missing",
    "listed",
    "selecting",
]

# The execution option that holds what a transaction has read already, where all of it sees one moment.
ONE_MOMENT: Final = "ingot_one_moment"
# Databases limit how many parameters a statement has. A power of two, as `chunks` makes only those.
_MOST: Final = 512
# No number in the database is as large: where a list begins and how long it is when nobody said.
BEHIND_ALL: Final = 1 << 62

T = TypeVar("T")


class Rows(Generic[T]):
    """The rows of one table as instances of one dataclass with the same field names."""

    def __init__(self, connection: Connection, table: Table, kind: type[T]) -> None:
        self._connection = connection
        self._table = table
        self._kind: Any = kind

    def select(self, *where: ColumnElement[bool]) -> Select[Any]:
        """Return a statement for whole instances."""
        whole = selecting(self._table, self._kind)
        return whole.where(and_(True, *where)) if where else whole

    def all(self, statement: Select[Any], **parameters: Any) -> tuple[T, ...]:
        """Return every row of a statement made by `select`."""
        # The statement's columns are the dataclass's fields in their order.
        return tuple(self._kind(*row) for row in self._connection.execute(statement, parameters).all())

    def prepared(self, statement: Select[Any], **parameters: Any) -> tuple[T, ...]:
        """Return every row of a statement made by `select` that stays as long as the process."""
        return tuple(self._kind(*row) for row in find_rows(self._connection, statement, parameters))

    def among(
        self, build: Callable[[int], Select[Any]], ids: Collection[str], **parameters: Any
    ) -> tuple[T, ...]:
        """Return every row of the statements of `find_among`, made by `select`."""
        rows = find_among(self._connection, build, ids, **parameters)
        return tuple(self._kind(*row) for row in rows)

    def one(self, **equal: Any) -> T | None:
        """Return the only row whose columns have these values, or None."""
        found = self._seen(equal, "")
        if len(found) > 1:
            raise LookupError(f"{self._table.name} has several rows with this {' and '.join(equal)}")
        return found[0] if found else None

    def every(self, order: str, **equal: Any) -> tuple[T, ...]:
        """Return the rows whose columns have these values, in the order of one column."""
        return self._seen(equal, order)

    def add(self, value: T, **more: Any) -> None:
        """Insert one row; `more` gives columns that the dataclass does not have."""
        statement = _inserting(self._table, self._kind, tuple(more))
        change_rows(self._connection, statement, {**row_values(value), **more})

    def update(self, value: T, *key: str) -> None:
        """Write every field of the row that has these fields; it must exist."""
        values = row_values(value)
        statement = _updating(self._table, self._kind, key)
        wanted = {f"key_{name}": values[name] for name in key}
        changed = {**{f"new_{name}": item for name, item in values.items()}, **wanted}
        if change_rows(self._connection, statement, changed) != 1:
            raise LookupError(f"{self._table.name} has no row with this {' and '.join(key)}")

    def _seen(self, equal: dict[str, Any], order: str) -> tuple[T, ...]:
        seen = self._connection.get_execution_options().get(ONE_MOMENT)
        if seen is None:
            return self._find(equal, order)
        place = (self._table, self._kind, order, *equal.items())
        if place not in seen:
            seen[place] = self._find(equal, order)
        found: tuple[T, ...] = seen[place]
        return found

    def _find(self, equal: dict[str, Any], order: str) -> tuple[T, ...]:
        return self.prepared(_finding(self._table, self._kind, tuple(equal), order), **equal)


def chunks(ids: Collection[str]) -> Iterator[list[str]]:
    """Return the ids in lists that fit into one statement each.

    Each list is as long as a power of two; what it lacks to that is its last id again. Every length is a
    statement of its own, which each connection would keep: thousands of them, the larger the more ids.
    """
    ordered = sorted(ids)
    for begin in range(0, len(ordered), _MOST):
        yield _lengthened(ordered[begin : begin + _MOST])


def listed(count: int) -> list[BindParameter[str]]:
    """Return the parameters of a list of so many ids, as `filled` names them."""
    return [bindparam(f"id_{number}") for number in range(count)]


def filled(ids: Collection[str]) -> tuple[int, dict[str, Any]]:
    """Return how many parameters a list of at least one id takes, as in `chunks`, and their values."""
    known = _lengthened(list(ids))
    return len(known), {f"id_{number}": one for number, one in enumerate(known)}


def find_among(
    connection: Connection, build: Callable[[int], Select[Any]], ids: Collection[str], **parameters: Any
) -> Iterator[Sequence[Any]]:
    """Yield the rows of what `build` makes for a number of ids; it must make each statement once."""
    for some in chunks(ids):
        count, named = filled(some)
        yield from find_rows(connection, build(count), {**named, **parameters})


def _lengthened(ids: list[str]) -> list[str]:
    return ids + ids[-1:] * ((1 << (len(ids) - 1).bit_length()) - len(ids))


def insert_missing(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows whose key is not there yet."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for row in rows:
        connection.execute(dialect.insert(table).values(**row).on_conflict_do_nothing())


@cache
def selecting(table: Table, kind: Any) -> Select[Any]:
    """Return a statement for the whole instances of a table, for those that are built once."""
    return select(*(table.c[name] for name in kind.__dataclass_fields__))


@cache
def _finding(table: Table, kind: Any, names: tuple[str, ...], order: str) -> Select[Any]:
    found = selecting(table, kind).where(*(table.c[name] == bindparam(name) for name in names))
    return found.order_by(table.c[order]) if order else found


@cache
def _inserting(table: Table, kind: Any, more: tuple[str, ...]) -> Insert:
    return insert(table).values({name: bindparam(name) for name in (*kind.__dataclass_fields__, *more)})


@cache
def _updating(table: Table, kind: Any, key: tuple[str, ...]) -> Update:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in kind.__dataclass_fields__}
    return update(table).where(*(table.c[name] == bindparam(f"key_{name}") for name in key)).values(values)
