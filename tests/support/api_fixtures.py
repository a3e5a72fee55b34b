"""Fixtures for tests that need the application; a conftest imports what it wants."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from control_plane.adapters.cluster.s3_blobs import S3Blobs
from control_plane.adapters.cluster.s3_file_bytes import S3FileBytes
from control_plane.domain.access import Role
from control_plane.domain.identity import Actor
from control_plane.store.control_migrations import migrate_control
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_tables import USAGE_SCHEMA
from tests.support.api import ApiWorld
from tests.support.builders import World
from tests.support.shared_storage import SharedStorage, running_shared_storage

__all__ = ["ApiPeople", "api", "migrated_databases", "people", "shared_storage"]

# Which world's storage the application stands on: `shared` for PostgreSQL and S3, else SQLite and dicts.
SHARED = os.environ.get("INGOT_TEST_STORAGE", "") == "shared"


@dataclass(frozen=True)
class ApiPeople:
    """One person for each part of the slice."""

    owner: Actor
    author: Actor
    reviewer: Actor
    operator: Actor


@pytest.fixture(scope="session")
def migrated_databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with both databases migrated, to copy from."""
    folder = tmp_path_factory.mktemp("migrated")
    control = create_engine(f"sqlite:///{folder}/control.db", schema=CONTROL_SCHEMA)
    migrate_control(control)
    control.dispose()
    usage = create_engine(f"sqlite:///{folder}/usage.db", schema=USAGE_SCHEMA)
    migrate_usage(usage)
    usage.dispose()
    return folder


@pytest.fixture(scope="session")
def shared_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedStorage]:
    with running_shared_storage(tmp_path_factory.mktemp("shared")) as storage:
        yield storage


@pytest.fixture
def api(request: pytest.FixtureRequest, migrated_databases: Path, tmp_path: Path) -> Iterator[ApiWorld]:
    if SHARED:
        with request.getfixturevalue("shared_storage").emptied() as (control, usage, bucket):
            yield ApiWorld(World(control, blobs=S3Blobs(bucket), file_bytes=S3FileBytes(bucket)), usage)
        return
    for name in ("control.db", "usage.db"):
        shutil.copy(migrated_databases / name, tmp_path / name)
    control = create_engine(f"sqlite:///{tmp_path}/control.db", schema=CONTROL_SCHEMA)
    usage = create_engine(f"sqlite:///{tmp_path}/usage.db", schema=USAGE_SCHEMA)
    yield ApiWorld(World(control), usage)
    control.dispose()
    usage.dispose()


@pytest.fixture
def people(api: ApiWorld) -> ApiPeople:
    owner = api.world.owner()
    return ApiPeople(
        owner=owner,
        author=api.world.member(owner, "ada", Role.AUTHOR),
        reviewer=api.world.member(owner, "rita", Role.REVIEWER),
        operator=api.world.member(owner, "omar", Role.OPERATOR),
    )
