"""Turns to write to one SQLite file: of threads, of processes, and after the death of whoever had it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from control_plane.errors import Unavailable
from control_plane.store import turns
from control_plane.store.turns import Turns

_HOLD = """
import sys
from pathlib import Path
from control_plane.store.turns import Turns
with Turns(Path(sys.argv[1])).one():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(database: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the turn."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(database)], stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_threads_take_turns(tmp_path: Path) -> None:
    mine, inside, most = Turns(tmp_path / "a.db"), [], []

    def work() -> None:
        for _ in range(200):
            with mine.one():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 800
    assert set(most) == {1}


def test_another_process_is_waited_for_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LONGEST_WAIT_S", 0.05)
    mine = Turns(tmp_path / "a.db")
    with held_elsewhere(tmp_path / "a.db"), pytest.raises(Unavailable, match="Too many changes"), mine.one():
        pytest.fail("two had the turn")
    # Nothing stays behind of an attempt that came to nothing.
    with mine.one():
        pass


def test_the_turn_of_a_killed_process_is_free(tmp_path: Path) -> None:
    mine = Turns(tmp_path / "a.db")
    with held_elsewhere(tmp_path / "a.db") as process:
        process.kill()
        process.wait(10)
        with mine.one():
            pass


def test_a_database_in_memory_is_of_one_process_alone() -> None:
    mine = Turns(None)
    with mine.one():
        pass
