"""Every migration of the control database, on both dialects."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from control_plane.store.control_migrations import control_migration_config, migrate_control
from control_plane.store.tables import metadata


def test_the_migrations_make_exactly_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        differences = compare_metadata(context, metadata)
    assert differences == []


def test_they_lead_back_to_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        command.downgrade(control_migration_config(connection), "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}


def test_two_processes_may_begin_at_once(empty: Engine) -> None:
    failures: list[Exception] = []
    gate = threading.Barrier(4)

    def run(migrate: Callable[[Engine], None]) -> None:
        gate.wait(10)
        try:
            migrate(empty)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(migrate_control,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert "releases" in inspect(empty).get_table_names()


@pytest.mark.parametrize("table", ["audit_entries", "draft_edits", "named_values"])
def test_what_is_only_added_to_cannot_be_changed(engine: Engine, table: str) -> None:
    with engine.begin() as connection:
        columns = {column["name"]: column["type"] for column in inspect(connection).get_columns(table)}
        row = {
            name: (0 if kind.python_type is int else False if kind.python_type is bool else "{}")
            for name, kind in columns.items()
        }
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), row)
    for statement in (f"UPDATE {table} SET organization = 'x'", f"DELETE FROM {table}"):
        with pytest.raises(DBAPIError, match="only ever added"), engine.begin() as connection:
            connection.execute(text(statement))
