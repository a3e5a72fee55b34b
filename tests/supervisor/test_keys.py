"""Keys are made once and only their owner reads them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from control_plane.errors import Unavailable
from control_plane.supervisor.keys import KEYS, load_keys, write_private


def test_every_key_is_32_random_bytes_made_once(tmp_path: Path) -> None:
    keys = load_keys(tmp_path)
    assert set(keys) == set(KEYS)
    assert {len(base64.b64decode(key)) for key in keys.values()} == {32}
    assert len(set(keys.values())) == len(KEYS)
    assert load_keys(tmp_path) == keys
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_lost_key_is_made_anew_and_the_others_stay(tmp_path: Path) -> None:
    before = load_keys(tmp_path)
    (tmp_path / "cursor.key").unlink()
    after = load_keys(tmp_path)
    assert after.pop("cursor") != before.pop("cursor")
    assert after == before


def test_an_interrupted_write_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "owner-link"
    write_private(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_private(path, "new")
    assert path.read_text() == "old\n"
    write_private(path, "new")
    assert path.read_text() == "new\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["owner-link"]


def test_given_keys_are_taken_and_others_than_those_in_use_are_refused(tmp_path: Path) -> None:
    given, own = tmp_path / "given", tmp_path / "own"
    given.mkdir()
    own.mkdir()
    wanted = load_keys(given)
    assert load_keys(own, given) == wanted
    assert {path.stat().st_mode & 0o777 for path in own.iterdir()} == {0o600}
    write_private(given / "master.key", base64.b64encode(b"x" * 32).decode())
    with pytest.raises(Unavailable, match="another key"):
        load_keys(own, given)
    # What is in use was not touched.
    assert load_keys(own) == wanted


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"x" * 31).decode()])
def test_a_given_file_that_holds_no_key_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    given, own = tmp_path / "given", tmp_path / "own"
    given.mkdir()
    own.mkdir()
    load_keys(given)
    (given / "audit.key").write_text(text)
    with pytest.raises(Unavailable, match=r"audit\.key holds no key"):
        load_keys(own, given)
