"""Fixtures for tests that need the application; a conftest imports what it wants."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from control_plane.domain.access import Role
from control_plane.domain.identity import Actor
from control_plane.store.control_migrations import migrate_control
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_tables import USAGE_SCHEMA
from tests.support.api import ApiWorld
from tests.support.builders import World

__all__ = ["ApiPeople", "api", "migrated_databases", "people"]


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


@pytest.fixture
def api(migrated_databases: Path, tmp_path: Path) -> Iterator[ApiWorld]:
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
