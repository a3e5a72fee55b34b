"""A served application and a command line for every test here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.domain.access import Role
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from control_plane.store.usage_tables import USAGE_SCHEMA
from tests.support.api_fixtures import ApiPeople, migrated_databases
from tests.support.live_api import LiveApi, live_api

__all__ = ["live", "migrated_databases", "people"]


@pytest.fixture
def live(migrated_databases: Path, tmp_path: Path) -> Iterator[LiveApi]:
    for name in ("control.db", "usage.db"):
        shutil.copy(migrated_databases / name, tmp_path / name)
    control = create_engine(f"sqlite:///{tmp_path}/control.db", schema=CONTROL_SCHEMA)
    usage = create_engine(f"sqlite:///{tmp_path}/usage.db", schema=USAGE_SCHEMA)
    with live_api(control, usage) as served:
        yield served
    control.dispose()
    usage.dispose()


@pytest.fixture
def people(live: LiveApi) -> ApiPeople:
    world = live.api.world
    owner = world.owner()
    return ApiPeople(
        owner=owner,
        author=world.member(owner, "ada", Role.AUTHOR),
        reviewer=world.member(owner, "rita", Role.REVIEWER),
        operator=world.member(owner, "omar", Role.OPERATOR),
    )
