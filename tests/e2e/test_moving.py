"""A function moves from a laptop (SQLite, folders) to an Ingot on PostgreSQL and S3, and answers there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from control_plane.cli.main import cli
from tests.e2e.test_shared_storage import database, shared_environment, store
from tests.support.s3_store import S3Store
from tests.support.system import Person, System, running_system, wait_for

__all__ = ["database", "store"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

_FILES = {"ingot.toml": "", "main.py": 'def execute(input, context):\n    return {"hello": "moved"}\n'}


def exported(system: System) -> bytes:
    """Return the file of the function, signed by the worker."""
    author = system.people["author"]
    made = author.call("POST", "/functions/hello/exports", json={})
    path = f"/functions/hello/exports/{made['id']}"
    wait_for(lambda: author.call("GET", path)["state"] == "ready", 60)
    content = author.call("GET", f"{path}/file")
    assert content == author.call("GET", f"{path}/file"), "the same export gives the same bytes"
    return bytes(content)


def brought(person: Person, content: bytes, expect: int = 200) -> dict[str, object]:
    headers = {"Content-Type": "application/x-tar"}
    made: dict[str, object] = person.call(
        "POST", "/projects/main/imports", expect, content=content, headers=headers
    )
    return made


def test_from_a_laptop_to_shared_storage(store: S3Store, database: str, tmp_path: Path) -> None:
    with running_system() as laptop:
        version = laptop.publish("hello", _FILES).version
        content = exported(laptop)
        shutil.copytree(laptop.data / "keys", tmp_path / "keys")
        words = ["trust", "--data", str(laptop.data), "--for", "main", "--approvals", "1"]
        printed = CliRunner().invoke(cli, words)
    assert printed.exit_code == 0, printed.output
    trust = tmp_path / "trust.json"
    trust.write_text(json.dumps(json.loads(printed.stdout)))
    environment = shared_environment(store, database, tmp_path)
    # The services read it under user ids of their own.
    trust.chmod(0o644)
    with running_system(**environment, INGOT_MOVING_TRUSTED_KEYS_FILE=str(trust)) as there:
        author = there.people["author"]
        assert brought(author, content[: len(content) // 2], 422)["code"] == "import_refused"
        made = brought(author, content)
        assert brought(author, content)["function"] == made["function"]
        [found] = author.call("GET", "/functions/hello/versions")["items"]
        assert (found["digest"], found["number"]) == (version["digest"], 1)
        origin = author.call("GET", "/functions/hello/versions/1/origin")
        assert [one["email"] for one in origin["approvals"]] == ["reviewer@example.com"]
        # Approved there, trusted here: no review stands between it and its callers.
        assert not there.release("hello", 1)["unreviewed"]
        key = there.key()
        there.wait_callable("hello", key)
        answer = httpx.post(there.url("hello"), json={}, headers={"X-Api-Key": key}, timeout=60)
        assert answer.json() == {"hello": "moved"}
