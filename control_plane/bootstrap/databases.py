"""The databases that the settings name, and bringing them to the newest schema."""

from __future__ import annotations

from sqlalchemy import Engine, make_url

from control_plane.settings import Settings
from control_plane.store.control_migrations import grant_control, migrate_control
from control_plane.store.engine import CACHE_MB, Connections, create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_tables import USAGE_SCHEMA

__all__ = ["control_engine", "migrate_databases", "usage_engine"]


def control_engine(settings: Settings, *, cache_mb: int = CACHE_MB) -> Engine:
    """Return the control database, as the services use it."""
    connections = _connections(settings)
    return create_engine(
        settings.control_url, schema=CONTROL_SCHEMA, cache_mb=cache_mb, connections=connections
    )


def usage_engine(settings: Settings, *, cache_mb: int = CACHE_MB) -> Engine:
    """Return the usage database."""
    connections = _connections(settings)
    return create_engine(settings.usage_url, schema=USAGE_SCHEMA, cache_mb=cache_mb, connections=connections)


def migrate_databases(settings: Settings) -> None:
    """Apply what is missing in both; no statement of a migration is ended for its length."""
    owner_url = settings.database.control_owner_url or settings.control_url
    owner = create_engine(owner_url, schema=CONTROL_SCHEMA)
    migrate_control(owner)
    if settings.database.control_owner_url:
        grant_control(owner, make_url(settings.control_url).username or "")
    owner.dispose()
    usage = create_engine(settings.usage_url, schema=USAGE_SCHEMA)
    migrate_usage(usage)
    usage.dispose()


def _connections(settings: Settings) -> Connections:
    wanted = settings.database
    return Connections(
        kept=wanted.pool_size,
        more=wanted.pool_overflow,
        wait_s=wanted.pool_wait_s,
        statement_s=wanted.statement_timeout_s,
    )
