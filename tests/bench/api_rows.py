"""Reads, renames and inserts rows as they are stored, in bulk, on both databases."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from sqlalchemy import Engine

__all__ = ["Row", "insert_rows", "read_rows", "renamed"]

Row = dict[str, Any]
_CHUNK: Final = 20_000


def read_rows(engine: Engine, table: str) -> list[Row]:
    """Return a small table as it is stored."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings()]


def renamed(row: Row, names: Mapping[str, str]) -> Row:
    """Return the row with every old name in it replaced."""
    text = json.dumps(row)
    for old, new in names.items():
        text = text.replace(old, new)
    made: Row = json.loads(text)
    return made


def insert_rows(engine: Engine, table: str, rows: Iterable[Row]) -> None:
    """Insert many rows with equal keys as fast as the database takes them."""
    waiting: list[Row] = []
    with closing(engine.raw_connection()) as raw:
        for row in rows:
            waiting.append(row)
            if len(waiting) == _CHUNK:
                _write(raw, engine.dialect.name, table, waiting)
                waiting = []
        if waiting:
            _write(raw, engine.dialect.name, table, waiting)


def _write(raw: Any, dialect: str, table: str, rows: Sequence[Row]) -> None:
    columns = list(rows[0])
    named = ", ".join(f'"{column}"' for column in columns)
    cursor = raw.cursor()
    if dialect == "postgresql":
        with cursor.copy(f"COPY {table} ({named}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row([row[column] for column in columns])
        raw.commit()
        return
    cursor.execute("BEGIN IMMEDIATE")
    marks = ", ".join("?" * len(columns))
    cursor.executemany(
        f"INSERT INTO {table} ({named}) VALUES ({marks})", ([row[name] for name in columns] for row in rows)
    )
    cursor.execute("COMMIT")
