"""`ingot cleanup` on a data folder that no Ingot runs on: all kinds of things, first shown, then removed."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from control_plane.cli.main import cli
from control_plane.domain.access import Role
from control_plane.domain.files import FileWish
from control_plane.store.engine import create_engine
from control_plane.store.file_tables import files
from control_plane.store.function_tables import functions
from control_plane.store.tables import CONTROL_SCHEMA
from tests.support.builders import World

_DAY_MS = 86_400_000


@pytest.fixture
def data(migrated_databases: Path, tmp_path: Path) -> Path:
    """A data folder with one retired function, one file that is due and logs of two days."""
    folder = tmp_path / "data"
    for name in ("db", "files", "blobs", "layers", "host/logs/fn_1"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o700)
    for name in ("control.db", "usage.db"):
        shutil.copy(migrated_databases / name, folder / "db" / name)
    engine = create_engine(f"sqlite:///{folder}/db/control.db", schema=CONTROL_SCHEMA)
    world = World(engine)
    owner = world.owner()
    author = world.member(owner, "ada", Role.AUTHOR)
    world.drafted(author)
    world.functions.remove(owner, "orders")
    file, _ = world.files.announce(author, project="main", wish=FileWish("a.csv", 700, "text/csv"))
    long_ago = int(time.time() * 1000) - 400 * _DAY_MS
    with engine.begin() as connection:
        connection.execute(update(functions).values(removed_ms=long_ago, updated_ms=long_ago))
        connection.execute(update(files).values(due_ms=long_ago))
    engine.dispose()
    (folder / "files" / file.id).write_bytes(b"x" * 700)
    for days in (31, 1):
        day = (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
        (folder / "host/logs/fn_1" / f"{day}.jsonl").write_bytes(b"y" * 50)
    return folder


def cleanup(data: Path, *more: str) -> dict[str, Any]:
    ran = CliRunner().invoke(
        cli, ["cleanup", "--data", str(data), "-o", "json", *more], catch_exceptions=False
    )
    assert ran.exit_code == 0, (ran.stdout, ran.stderr)
    return {one["kind"]: (one["count"], one["size"]) for one in json.loads(ran.stdout)}


def test_what_is_over_is_shown_then_removed(data: Path) -> None:
    shown = cleanup(data, "--dry-run")
    assert (shown["drafts"], shown["files"], shown["logs"]) == ((1, 0), (1, 700), (1, 50))
    assert len(list((data / "files").iterdir())) == 1
    assert shown == cleanup(data, "--dry-run"), "a look changes nothing"
    done = cleanup(data)
    assert shown.keys() == done.keys()
    assert {kind: done[kind][0] for kind in ("drafts", "files", "logs")} == {
        "drafts": 1,
        "files": 1,
        "logs": 1,
    }
    assert not list((data / "files").iterdir())
    assert len(list((data / "host/logs/fn_1").iterdir())) == 1, "yesterday stays"
    again = cleanup(data, "--dry-run")
    assert all(again[kind] == (0, 0) for kind in ("drafts", "files", "logs"))


def test_a_folder_without_an_ingot_is_refused(tmp_path: Path) -> None:
    ran = CliRunner().invoke(cli, ["cleanup", "--data", str(tmp_path / "none"), "--dry-run"])
    assert ran.exit_code != 0
    assert not (tmp_path / "none").exists()
