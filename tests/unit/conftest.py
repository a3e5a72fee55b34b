"""A control plane over real SQLite and in-memory ports for every test that asks for `world`."""

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
from tests.support.builders import World


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database file with every migration applied, to copy from."""
    path = tmp_path_factory.mktemp("migrated") / "control.db"
    engine = create_engine(f"sqlite:///{path}", schema=CONTROL_SCHEMA)
    migrate_control(engine)
    engine.dispose()
    return path


@pytest.fixture
def world(migrated: Path, tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "control.db"
    shutil.copy(migrated, path)
    engine = create_engine(f"sqlite:///{path}", schema=CONTROL_SCHEMA)
    yield World(engine)
    engine.dispose()


@dataclass(frozen=True)
class People:
    """One person for each part of the slice."""

    owner: Actor
    author: Actor
    reviewer: Actor
    operator: Actor


@pytest.fixture
def people(world: World) -> People:
    owner = world.owner()
    return People(
        owner=owner,
        author=world.member(owner, "ada", Role.AUTHOR),
        reviewer=world.member(owner, "rita", Role.REVIEWER),
        operator=world.member(owner, "omar", Role.OPERATOR),
    )
