"""The main job on PostgreSQL and an S3 store, functions on one machine; then it loses its copies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from control_plane.adapters.cluster.bucket import Bucket
from control_plane.adapters.cluster.s3_blobs import BLOBS
from tests.support.postgres import running_postgres
from tests.support.s3_store import S3Store, running_s3
from tests.support.shared_storage import make_roles
from tests.support.system import System, running_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

_FILES = {
    "ingot.toml": "",
    "main.py": 'def execute(input, context):\n    return {"hello": input.get("name", "world")}\n',
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    try:
        with running_s3(tmp_path_factory.mktemp("s3")) as running:
            yield running
    except FileNotFoundError as reason:
        pytest.skip(f"No S3 store can be started here: {reason}")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    try:
        with running_postgres() as url:
            # The services may run under user ids of their own.
            Path(parse_qs(urlsplit(url).query)["host"][0]).chmod(0o711)
            yield url
    except FileNotFoundError as reason:
        pytest.skip(f"PostgreSQL cannot be started here: {reason}")


def shared_environment(store: S3Store, database: str, tmp_path: Path) -> dict[str, Any]:
    """Return the settings of an Ingot on both, as variables."""
    owner, service = make_roles(database)
    secret = tmp_path / "secret"
    secret.write_text(store.password)
    # The services read it under user ids of their own.
    for folder in (secret, *secret.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o755)
    return {
        "INGOT_DATABASE_CONTROL_URL": service,
        "INGOT_DATABASE_CONTROL_OWNER_URL": owner,
        "INGOT_DATABASE_USAGE_URL": service,
        "INGOT_STORAGE_BUCKET": store.new_bucket().name,
        "INGOT_STORAGE_ENDPOINT": store.endpoint,
        "INGOT_STORAGE_ACCESS_KEY": store.user,
        "INGOT_STORAGE_SECRET_KEY_FILE": str(secret),
    }


@pytest.fixture
def system(store: S3Store, database: str, tmp_path: Path) -> Iterator[System]:
    with running_system(**shared_environment(store, database, tmp_path)) as running:
        yield running


def _call(system: System, key: str) -> httpx.Response:
    return httpx.post(system.url("hello"), json={"name": "Ada"}, headers={"X-Api-Key": key}, timeout=60)


def test_the_main_job_and_a_machine_that_lost_its_copies(system: System, store: S3Store) -> None:
    system.publish("hello", _FILES)
    key = system.key()
    system.wait_callable("hello", key)
    assert _call(system, key).json() == {"hello": "Ada"}
    assert not (system.data / "db" / "control.db").exists()
    system.stop()
    for folder in ("blobs", "layers", "cache"):
        shutil.rmtree(system.data / folder)
    system.start(180)
    system.wait_callable("hello", key)
    assert _call(system, key).json() == {"hello": "Ada"}
    # Stopping has closed the author's client.
    rights = {"Authorization": system.people["author"].http.headers["authorization"]}
    draft = f"{system.console}/api/v1/functions/hello/draft/files/main.py"
    assert "def execute" in httpx.get(draft, headers=rights, timeout=60).text
    bucket = Bucket(store.access(system.environment["INGOT_STORAGE_BUCKET"]))
    assert bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=BLOBS)["KeyCount"] >= 5
