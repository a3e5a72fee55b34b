"""A whole Ingot at level landlock as root: functions with user ids of their own and the real folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import httpx
import pytest

from tests.bench.functions import ask_host
from tests.support.rights import becomes_other_users
from tests.support.system import System, running_system, wait_for

_SOURCE = (
    "import os, tempfile\n"
    "def execute(input, context):\n"
    "    with tempfile.NamedTemporaryFile() as file:\n"
    "        file.write(b'four')\n        file.flush()\n"
    "        return [os.getuid(), os.stat(file.name).st_uid, os.path.getsize(file.name)]\n"
)


@pytest.mark.root
@pytest.mark.slow
@becomes_other_users
def test_a_function_writes_to_its_own_temporary_folder() -> None:
    # A careful administrator's umask must close no folder that functions pass through.
    previous = os.umask(0o077)
    try:
        with running_system(INGOT_HOST_ISOLATION="landlock") as system:
            system.publish("scratch", {"ingot.toml": "handler = 'main:execute'\n", "main.py": _SOURCE})
            key = system.key()
            system.wait_callable("scratch", key)
            answer = httpx.post(system.url("scratch"), json={}, headers={"X-Api-Key": key}, timeout=30)
            assert answer.status_code == 200, answer.text
            uid, owner, size = answer.json()
            assert uid == owner >= 62_000
            assert size == 4
            host = _status(system)["host"]
            assert (host["isolation"], host["targets"], host["instances"]) == ("landlock", 1, 1)
            assert [template["level"] for template in host["templates"]] == [1]
            folder = system.data / "host" / "tmp"
            assert all(found.stat().st_mode & 0o077 == 0 for found in folder.iterdir())
            for instance in _instances(system):
                os.kill(instance, 9)
            wait_for(lambda: not list(folder.iterdir()))
    finally:
        os.umask(previous)


def _instances(system: System) -> list[int]:
    targets = ask_host(system, "status")["targets"]
    return [instance["pid"] for target in targets.values() for instance in target["instances"]]


def _status(system: System) -> dict[str, Any]:
    command = [sys.executable, "-m", "control_plane.cli.main", "status", "--data", str(system.data)]
    done = subprocess.run(
        [*command, "-o", "json"], env=system.environment, capture_output=True, timeout=30, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
