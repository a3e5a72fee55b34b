"""What changed in a folder since the last look."""

from __future__ import annotations

import os
from pathlib import Path

from control_plane.cli.folder_watch import FolderWatch, digest_of_file


def test_only_what_differs_from_the_server_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text("1")
    (tmp_path / "new.py").write_text("2")
    known = {"same.py": digest_of_file(b"1"), "gone.py": digest_of_file(b"3")}
    watch = FolderWatch(tmp_path, known)
    changes = watch.changes()
    assert changes == {"new.py": b"2", "gone.py": None}
    watch.sent(changes)
    assert watch.changes() == {}


def test_an_edit_is_seen_with_its_time_and_a_touch_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("1")
    watch = FolderWatch(tmp_path, {"a.py": digest_of_file(b"1")})
    assert watch.changes() == {}
    os.utime(path, (5.0, 5.0))
    assert watch.changes() == {}
    path.write_text("22")
    os.utime(path, (7.5, 7.5))
    assert watch.changes() == {"a.py": b"22"}
    assert watch.changed_at == 7.5


def test_what_could_not_be_sent_comes_again_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    watch = FolderWatch(tmp_path, {})
    assert watch.changes() == {"a.py": b"1"}
    assert watch.changes() == {}, "an unchanged file is not read again"
    watch.forget_looks()
    assert watch.changes() == {"a.py": b"1"}


def test_files_that_no_function_needs_are_not_watched(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"x")
    (tmp_path / ".ingot-draft.json").write_text("{}")
    assert FolderWatch(tmp_path, {}).changes() == {}
