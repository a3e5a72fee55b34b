"""Both databases, empty and migrated, for every contract about the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from control_plane.adapters.cluster.bucket import Bucket
from control_plane.store.control_migrations import migrate_control
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from tests.support.postgres import running_postgres
from tests.support.s3_store import S3Store, running_s3


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    try:
        with running_postgres() as url:
            yield url
    except FileNotFoundError as reason:
        pytest.skip(f"PostgreSQL cannot be started here: {reason}")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    try:
        with running_s3(tmp_path_factory.mktemp("s3")) as store:
            yield store
    except FileNotFoundError as reason:
        pytest.skip(f"No S3 store can be started here: {reason}")


@pytest.fixture
def own_s3(tmp_path: Path) -> Iterator[S3Store]:
    """A store for one test alone, which may kill it."""
    try:
        with running_s3(tmp_path) as store:
            yield store
    except FileNotFoundError as reason:
        pytest.skip(f"No S3 store can be started here: {reason}")


@pytest.fixture
def bucket(s3: S3Store) -> Bucket:
    """An empty bucket of a real S3 store."""
    return s3.new_bucket()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without a table."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'control.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    engine = create_engine(url, schema=CONTROL_SCHEMA)
    if request.param == "postgresql":
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA IF EXISTS control CASCADE"))
    yield engine
    engine.dispose()


@pytest.fixture
def engine(empty: Engine) -> Engine:
    """A database with every migration applied."""
    migrate_control(empty)
    return empty
