"""Brings the control database to the newest schema. Any process may do so at its start."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text
from sqlalchemy.schema import CreateSchema

from control_plane.errors import Invalid
from control_plane.store.tables import CONTROL_SCHEMA
from control_plane.store.tenant_wall import EVERYONE, TenantWall

__all__ = ["control_migration_config", "grant_control", "migrate_control"]

# Any number does, as long as nobody else locks it: "ingot" on a telephone's keys.
_LOCK: Final = 46_468


def migrate_control(engine: Engine, revision: str = "head") -> None:
    """Apply what is missing, in one transaction; a second process waits and then finds nothing to do."""
    with engine.begin() as connection:
        # SQLite's transaction holds the write lock already.
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            connection.execute(CreateSchema(CONTROL_SCHEMA, if_not_exists=True))
            # A migration changes every tenant's rows; without this the row rules hide them.
            TenantWall(connection).open(EVERYONE)
        command.upgrade(control_migration_config(connection), revision)


def grant_control(engine: Engine, role: str) -> None:
    """Let the services' role read and write rows of the owner's tables, and change nothing else."""
    with engine.begin() as connection:
        if connection.dialect.name != "postgresql":
            raise Invalid(
                "Only PostgreSQL has an owner beside the services' role.", field="database.control_owner_url"
            )
        quoted = connection.dialect.identifier_preparer.quote_identifier(role)
        rows = f"SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {CONTROL_SCHEMA}"
        connection.execute(text(f"GRANT USAGE ON SCHEMA {CONTROL_SCHEMA} TO {quoted}"))
        connection.execute(text(f"GRANT {rows} TO {quoted}"))
        version = f"INSERT, UPDATE, DELETE ON {CONTROL_SCHEMA}.alembic_version"
        connection.execute(text(f"REVOKE {version} FROM {quoted}"))


def control_migration_config(connection: Connection) -> Config:
    """Return alembic's configuration for an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations" / "control"))
    config.attributes["connection"] = connection
    return config
