"""A backup under load, brought back elsewhere: the same function answers the same key; calls are counted."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.system import System, running_system, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_ROOT = Path(__file__).resolve().parents[2]
FUNCTION = {
    "ingot.toml": "handler = 'main:execute'\n",
    "main.py": "def execute(input, context):\n    return {'sum': input['a'] + 1}\n",
}


def ingot(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "control_plane.cli.main", *arguments]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False)


def counted(system: System) -> int:
    rows: dict[str, Any] = system.people["owner"].call("GET", "/usage?group_by=function")
    return int(sum(row["calls"] for row in rows["items"]))


class Load:
    """Calls without a pause; knows how many were answered."""

    def __init__(self, system: System, key: str) -> None:
        self.answered = 0
        self._url, self._key = system.url("adder"), key
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(2)]
        self._lock = threading.Lock()
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        with httpx.Client(headers={"X-Api-Key": self._key}, timeout=30) as http:
            while not self._stop.is_set():
                assert http.post(self._url, json={"a": 1}).json() == {"sum": 2}
                with self._lock:
                    self.answered += 1

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def elsewhere(folder: Path, people: System) -> Any:
    """A system on another data folder and other ports, with the people of the first."""
    system = System(folder)
    try:
        system.start()
        for name, person in people.people.items():
            http = httpx.Client(base_url=system.console, headers=dict(person.http.headers), timeout=120)
            system.people[name] = type(person)(person.email, http)
        yield system
    finally:
        system.stop()


def test_it_serves_elsewhere_what_was_backed_up_under_load() -> None:
    with running_system() as system:
        system.publish("adder", FUNCTION)
        key = system.key()
        system.wait_callable("adder", key)
        load = Load(system, key)
        wait_for(lambda: load.answered > 200)
        phrase = system.folder / "phrase"
        phrase.write_text("a passphrase of some length\n")
        before = load.answered
        into = system.folder / "backups"
        made = ingot(
            "backup", "create", "--data", str(system.data), "--into", str(into),
            "--passphrase-file", str(phrase), "-o", "json",
        )  # fmt: skip
        after = load.answered
        assert made.returncode == 0, made.stderr
        wait_for(lambda: load.answered > after + 100)
        load.end()
        archive = json.loads(made.stdout)["archive"]
        checked = ingot("backup", "verify", archive, "--passphrase-file", str(phrase))
        assert checked.returncode == 0, checked.stdout + checked.stderr
        again = system.folder / "again"
        again.mkdir(mode=0o755)
        done = ingot(
            "backup", "restore", archive, "--data", str(again / "data"), "--passphrase-file", str(phrase)
        )
        assert done.returncode == 0, done.stderr
        with elsewhere(again, system) as other:
            other.wait_callable("adder", key, 60)
            answer = httpx.post(other.url("adder"), json={"a": 41}, headers={"X-Api-Key": key}, timeout=30)
            assert answer.json() == {"sum": 42}
            # The first call here, by `wait_callable`, had no number to add to; it is counted all the same.
            total = wait_for(lambda: counted(other))
            assert before <= total <= after + 60
            found = other.people["owner"].call("GET", "/audit/verification")
            assert found["findings"] == []
