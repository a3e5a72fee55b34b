"""The supervisor with real processes: restarts, order, no orphans."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.supervisor.lock import start_time


def wait_for(what: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


class Running:
    """A toy Ingot and its control socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen([sys.executable, "-m", "tests.supervisor.toy", str(folder)])
        wait_for((folder / "ready").exists)

    def ask(self, question: str) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(self.folder / "supervisor.sock"))
            channel.sendall(question.encode())
            answer: dict[str, Any] = json.loads(channel.makefile().readline())
            return answer

    def role(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = self.ask("status")["roles"][name]
        return state

    def is_back(self, name: str, before: int) -> bool:
        """Say whether another process than `before` is ready: one look, as two would see two moments."""
        state = self.role(name)
        return bool(state["ready"]) and state["pid"] != before


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("s"))
    yield running
    running.process.terminate()
    assert running.process.wait(20) == 0


def test_a_killed_role_comes_back_as_a_new_process(running: Running) -> None:
    before = running.role("second")["pid"]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: running.is_back("second", before))
    assert running.role("second")["restarts"] == 1
    assert running.role("first")["restarts"] == 0


def test_a_role_starts_when_those_it_comes_after_are_ready(running: Running) -> None:
    assert (running.folder / "third-came-after").read_text() == "True"


def test_a_role_that_died_waits_for_nobody(running: Running) -> None:
    before = {name: running.role(name)["pid"] for name in ("second", "third")}
    (running.folder / "second-was-ready").unlink()
    (running.folder / "second-is-held").touch()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: running.is_back("third", before["third"]))
    assert (running.folder / "third-came-after").read_text() == "False"
    assert not running.role("second")["ready"]


def test_stop_ends_roles_in_reverse_order_and_leaves_no_orphan(running: Running) -> None:
    grandchild = int((running.folder / "grandchild").read_text())
    assert start_time(grandchild)
    assert running.ask("stop")["stopping"]
    assert running.process.wait(20) == 0
    assert (running.folder / "order").read_text().split() == ["third", "second", "first"]
    assert not start_time(grandchild)
    assert not (running.folder / "supervisor.sock").exists()


def test_roles_drain_and_end_when_the_supervisor_is_killed(running: Running) -> None:
    pids = [running.role(name)["pid"] for name in ("first", "second", "third")]
    running.process.kill()
    running.process.wait()
    running.process.returncode = 0
    wait_for(lambda: not any(start_time(pid) for pid in pids))
    # The grandchild is no role; the next start ends it by the record, here the test does.
    os.kill(int((running.folder / "grandchild").read_text()), signal.SIGKILL)


def test_a_client_that_says_nothing_does_not_stop_the_supervision(running: Running) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(running.folder / "supervisor.sock"))
        before = running.role("third")["pid"]
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: running.role("third")["pid"] not in (0, before))
