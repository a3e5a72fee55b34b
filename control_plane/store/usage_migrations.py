"""Brings the usage database to the newest schema. Run by the meter, its only writer, before anything else."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine
from sqlalchemy.schema import CreateSchema

from control_plane.store.tenant_wall import EVERYONE, TenantWall
from control_plane.store.usage_tables import USAGE_SCHEMA

__all__ = ["migrate_usage", "migration_config"]


def migrate_usage(engine: Engine, revision: str = "head") -> None:
    """Apply what is missing, in one transaction."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(CreateSchema(USAGE_SCHEMA, if_not_exists=True))
            # A migration changes every tenant's rows; without this the row rules hide them.
            TenantWall(connection).open(EVERYONE)
        command.upgrade(migration_config(connection), revision)


def migration_config(connection: Connection) -> Config:
    """Return alembic's configuration for an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations" / "usage"))
    config.attributes["connection"] = connection
    return config
