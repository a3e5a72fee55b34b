"""PostgreSQL and an S3 store for tests, with the two roles of a real installation: owner and service."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy
from sqlalchemy import Engine, make_url, text

from control_plane.adapters.cluster.bucket import Bucket
from control_plane.store.control_migrations import grant_control, migrate_control
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from control_plane.store.tenant_wall import EVERYONE, TenantWall
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_tables import USAGE_SCHEMA
from tests.support.postgres import running_postgres
from tests.support.s3_store import running_s3

__all__ = ["SERVICE", "SharedStorage", "make_roles", "running_shared_storage"]

SERVICE = "ingot_service"
_OWNER = "ingot_owner"
# Their rows are deleted by nobody; their owner can empty them.
_ONLY_ADDED_TO = frozenset({"audit_entries", "draft_edits", "named_values"})


def make_roles(url: str) -> tuple[str, str]:
    """Make a database; return its URLs for the owner, and for the service, which owns nothing of control."""
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in (
            f"CREATE ROLE {_OWNER} LOGIN",
            f"CREATE ROLE {SERVICE} LOGIN",
            f"CREATE DATABASE ingot OWNER {_OWNER}",
            f"GRANT CREATE ON DATABASE ingot TO {SERVICE}",
        ):
            connection.execute(text(statement))
    engine.dispose()
    place = url.replace("/postgres?", "/ingot?")
    return place.replace("postgres@", f"{_OWNER}@"), place.replace("postgres@", f"{SERVICE}@")


@dataclass(frozen=True)
class SharedStorage:
    """Both servers, with every migration applied."""

    owner: str
    owning: Engine
    control: Engine
    usage: Engine
    bucket: Bucket

    @contextmanager
    def emptied(self) -> Iterator[tuple[Engine, Engine, Bucket]]:
        """Yield the service's engines on empty tables, and an empty part of the bucket."""
        for engine, schema in ((self.owning, CONTROL_SCHEMA), (self.usage, USAGE_SCHEMA)):
            _empty(engine, schema)
        # The client is the expensive part of a bucket.
        bucket = copy.copy(self.bucket)
        bucket.prefix = f"{secrets.token_hex(6)}/"
        yield self.control, self.usage, bucket


@contextmanager
def running_shared_storage(folder: Path) -> Iterator[SharedStorage]:
    """Yield both servers. Raises FileNotFoundError where one is not installed."""
    with running_postgres() as url, running_s3(folder) as store:
        owner, service = make_roles(url)
        owning = create_engine(owner, schema=CONTROL_SCHEMA)
        migrate_control(owning)
        grant_control(owning, str(make_url(service).username))
        control = create_engine(service, schema=CONTROL_SCHEMA)
        usage = create_engine(service, schema=USAGE_SCHEMA)
        migrate_usage(usage)
        try:
            yield SharedStorage(owner, owning, control, usage, store.new_bucket())
        finally:
            for engine in (owning, control, usage):
                engine.dispose()


def _empty(engine: Engine, schema: str) -> None:
    with engine.begin() as connection:
        TenantWall(connection).open(EVERYONE)
        names = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = :schema"), {"schema": schema}
        ).scalars()
        # Deleting a few rows is quicker, where a table lets them go.
        statements = [
            f'TRUNCATE "{name}"' if name in _ONLY_ADDED_TO else f'DELETE FROM "{name}"'
            for name in names
            if not name.startswith("alembic")
        ]
        connection.exec_driver_sql("; ".join(statements))
