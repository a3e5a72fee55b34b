"""One Ingot for each data folder, and what a killed one leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from control_plane.errors import Conflict
from control_plane.supervisor.lock import RunLock, is_held, start_time

SLEEPER = "import time; print(1, flush=True); time.sleep(60)"
# Stays through SIGTERM, so that only SIGKILL ends it.
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


def started(code: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def ended(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=20)
    return process.returncode


def test_a_second_lock_names_the_holder_and_what_to_do(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    lock = RunLock(tmp_path)
    assert is_held(tmp_path)
    lock.record({"pid": 4711})
    with pytest.raises(Conflict, match=r"already running on .*, pid 4711") as caught:
        RunLock(tmp_path)
    assert caught.value.hint == "Use it, or stop it with `ingot down` first."
    lock.release()
    assert not is_held(tmp_path)
    RunLock(tmp_path).release()


def test_what_a_killed_supervisor_left_is_ended_and_only_that(tmp_path: Path) -> None:
    left, stranger, stubborn = started(SLEEPER), started(SLEEPER), started(STUBBORN)
    try:
        first = RunLock(tmp_path)
        children = [
            [left.pid, start_time(left.pid)],
            # The same number, given to another process since.
            [stranger.pid, start_time(stranger.pid) - 1],
            [stubborn.pid, start_time(stubborn.pid)],
        ]
        first.record({"children": children})
        # As the kernel does at the holder's death: the lock goes, the text stays.
        os.close(first._descriptor)
        lock = RunLock(tmp_path)
        assert lock.end_leftovers(patience_s=0.3) == [left.pid, stubborn.pid]
        assert (ended(left), ended(stubborn)) == (-signal.SIGTERM, -signal.SIGKILL)
        assert stranger.poll() is None
        lock.release()
    finally:
        for process in (left, stranger, stubborn):
            process.kill()
            process.communicate(timeout=20)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"children": []}'])
def test_a_damaged_record_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "up.json").write_text(text)
    lock = RunLock(tmp_path)
    assert lock.end_leftovers() == []
    lock.release()


def test_a_shorter_record_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    lock.record({"roles": ["a"] * 50})
    lock.record({"pid": 1})
    assert (tmp_path / "up.json").read_text() == '{"pid": 1}\n'
    lock.release()
    assert (tmp_path / "up.json").read_text() == ""


def test_an_ended_process_has_no_start_time() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    # A zombie has none either.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert start_time(process.pid) == 0
    process.wait(20)
    assert start_time(process.pid) == 0
    assert start_time(os.getpid()) > 0
