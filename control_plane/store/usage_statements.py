"""The statements of the usage database that run for every batch, in text.

They are text, as building them anew for each row would cost more than the
database does. Only here the dialects differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table

from control_plane.domain.series import SUMS
from control_plane.store.series_tables import (
    SERIES_KEY,
    monitor_instances,
    usage_hours,
    usage_minutes,
    usage_totals,
)
from control_plane.store.usage_tables import (
    DAILY_KEY,
    HOURLY_KEY,
    HOURLY_SUMS,
    log_hours,
    usage_daily,
    usage_hourly,
)

__all__ = [
    "add_daily",
    "add_hourly",
    "add_hours",
    "add_log_hours",
    "add_minutes",
    "add_totals",
    "insert_all",
    "insert_new",
    "raise_instances",
]


def insert_new(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> int:
    """Insert the rows that are not there yet and return how many those were."""
    if not rows:
        return 0
    statement = f"{_insert(connection, table, columns)} ON CONFLICT DO NOTHING"
    return connection.exec_driver_sql(statement, list(rows)).rowcount


def insert_all(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> bool:
    """Insert rows of which none should be there yet; False, with the transaction lost, when one is."""
    if connection.dialect.name != "postgresql" or not rows:
        return insert_new(connection, table, columns, rows) == len(rows)
    from psycopg.errors import UniqueViolation

    cursor = connection.connection.cursor()
    names, coming = ", ".join(columns), f"coming_{table.name}"
    try:
        # One statement with values for each row would take twice the time; and nothing can be copied into
        # a table with row rules, so it is copied beside it.
        if cursor.execute("SELECT to_regclass(%s)", (f"pg_temp.{coming}",)).fetchone() == (None,):
            like = f"TEMPORARY TABLE {coming} ON COMMIT DELETE ROWS AS SELECT {names} FROM {table.name}"  # noqa: S608
            cursor.execute(f"CREATE {like} WITH NO DATA")
        with cursor.copy(f"COPY {coming} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(f"INSERT INTO {table.name} ({names}) TABLE {coming}")
    except UniqueViolation:
        return False
    finally:
        cursor.close()
    return True


def add_hourly(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add (key…, sums…) to the hourly sums."""
    _add(connection, usage_hourly, (HOURLY_KEY, HOURLY_SUMS), rows)


def add_daily(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add (key…, sums…) to the daily sums."""
    _add(connection, usage_daily, (DAILY_KEY, HOURLY_SUMS), rows)


def add_log_hours(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add (hour, records, repeated) to what the access log held."""
    _add(connection, log_hours, (("hour_ms",), ("records", "repeated")), rows)


def add_minutes(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add (key…, minute, sums…) to the sums by minute."""
    _add(connection, usage_minutes, ((*SERIES_KEY, "minute_ms"), SUMS), rows)


def add_hours(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add (key…, hour, sums…) to the monitor's sums by hour."""
    _add(connection, usage_hours, ((*SERIES_KEY, "hour_ms"), SUMS), rows)


def add_totals(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add (key…, sums…, newest minute) to the sums since ever."""
    _add(connection, usage_totals, (SERIES_KEY, SUMS), rows, largest=("last_ms",))


def raise_instances(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Keep the larger of what (key…, minute, instances) says and what is known of the minute."""
    _add(connection, monitor_instances, ((*SERIES_KEY, "minute_ms"), ()), rows, largest=("instances",))


def _add(
    connection: Connection,
    table: Table,
    columns: tuple[Sequence[str], Sequence[str]],
    rows: Sequence[tuple[Any, ...]],
    largest: Sequence[str] = (),
) -> None:
    key, sums = columns
    if rows:
        changes = [f"{name} = {table.name}.{name} + excluded.{name}" for name in sums]
        # The two dialects have no function of the same name for the larger of two.
        changes += [
            f"{name} = CASE WHEN excluded.{name} > {table.name}.{name} "
            f"THEN excluded.{name} ELSE {table.name}.{name} END"
            for name in largest
        ]
        change, sums = ", ".join(changes), (*sums, *largest)
        statement = f"{_insert(connection, table, (*key, *sums))} ON CONFLICT ({', '.join(key)})"
        connection.exec_driver_sql(f"{statement} DO UPDATE SET {change}", list(rows))


def _insert(connection: Connection, table: Table, columns: Sequence[str]) -> str:
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    marks = ", ".join([mark] * len(columns))
    # Only names of our own tables are put together here; values travel as parameters.
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
