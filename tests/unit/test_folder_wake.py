"""Waking when a folder's files are written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from control_plane.cli.folder_wake import FolderWake

_LONG_S = 20.0


def write(folder: Path) -> None:
    (folder / "main.py").write_text("x = 2\n")


def write_elsewhere_and_move(folder: Path) -> None:
    (folder.parent / "other").write_text("x = 3\n")
    (folder.parent / "other").rename(folder / "main.py")


def write_below(folder: Path) -> None:
    (folder / "parts" / "a.py").write_text("y = 1\n")


@pytest.mark.parametrize("edit", [write, write_elsewhere_and_move, write_below])
def test_an_edit_wakes_at_once(edit: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "hello"
    (folder / "parts").mkdir(parents=True)
    (folder / "main.py").write_text("x = 1\n")
    with FolderWake(folder) as wake:
        edit(folder)
        began = time.monotonic()
        wake.wait(_LONG_S)
        assert time.monotonic() - began < _LONG_S / 2


def test_a_folder_that_comes_later_is_watched_too(tmp_path: Path) -> None:
    with FolderWake(tmp_path) as wake:
        (tmp_path / "new").mkdir()
        wake.wait(_LONG_S)
        (tmp_path / "new" / "a.py").write_text("1")
        began = time.monotonic()
        wake.wait(_LONG_S)
        assert time.monotonic() - began < _LONG_S / 2


def test_nothing_and_what_tools_write_do_not_wake(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    with FolderWake(tmp_path) as wake:
        (tmp_path / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"x")
        began = time.monotonic()
        wake.wait(0.05)
        assert time.monotonic() - began >= 0.05


def test_a_file_that_is_made_wakes_when_it_is_written(tmp_path: Path) -> None:
    woken = threading.Event()
    with FolderWake(tmp_path) as wake, (tmp_path / "main.py").open("w") as file:

        def wait() -> None:
            wake.wait(_LONG_S)
            woken.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not woken.wait(0.1), "an empty file is not what its author saved"
        file.write("x = 1\n")
        file.close()
        assert woken.wait(_LONG_S / 2)
        waiting.join()


def test_without_the_kernel_s_help_it_looks_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FolderWake(tmp_path) as wake:
        monkeypatch.setattr(wake, "_watch", lambda _: -1)
        (tmp_path / "new").mkdir()
        wake.wait(_LONG_S)
        began = time.monotonic()
        wake.wait(_LONG_S)
        assert time.monotonic() - began < _LONG_S / 2
