"""A control plane over real SQLite and in-memory ports for every test that asks for `world`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from control_plane.domain.access import Role
from control_plane.domain.identity import Actor
from control_plane.store.control_migrations import migrate_control
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from tests.support.builders import World
from tests.support.entropy import FakeEntropy


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database file with every migration applied, to copy from."""
    path = tmp_path_factory.mktemp("migrated") / "control.db"
    engine = create_engine(f"sqlite:///{path}", schema=CONTROL_SCHEMA)
    migrate_control(engine)
    engine.dispose()
    return path


@dataclass(frozen=True)
class People:
    """One person for each part of the slice."""

    owner: Actor
    author: Actor
    reviewer: Actor
    operator: Actor


def _open(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", schema=CONTROL_SCHEMA)

    @event.listens_for(engine, "connect")
    def _forget(raw: Any, _record: Any) -> None:
        # No test here is about losing power.
        raw.execute("PRAGMA synchronous=OFF")

    return engine


@pytest.fixture(scope="session")
def peopled(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, People]:
    """Return a database file with one organization and its people, to copy from."""
    path = tmp_path_factory.mktemp("peopled") / "control.db"
    shutil.copy(migrated, path)
    engine = _open(path)
    world = World(engine)
    owner = world.owner()
    people = People(
        owner=owner,
        author=world.member(owner, "ada", Role.AUTHOR),
        reviewer=world.member(owner, "rita", Role.REVIEWER),
        operator=world.member(owner, "omar", Role.OPERATOR),
    )
    engine.dispose()
    return path, people


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "control.db"
    if "people" in request.fixturenames:
        shutil.copy(request.getfixturevalue("peopled")[0], path)
    else:
        shutil.copy(request.getfixturevalue("migrated"), path)
    engine = _open(path)
    yield World(engine, entropy=FakeEntropy(first=1_000_000))
    engine.dispose()


@pytest.fixture
def people(peopled: tuple[Path, People]) -> People:
    return peopled[1]
