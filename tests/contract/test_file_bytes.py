"""The FileBytes port: the folder, the S3 store and the fake; and the folder under kills and a full disk."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.adapters.cluster.s3_file_bytes import S3FileBytes
from control_plane.adapters.embedded.file_bytes import FolderFileBytes
from control_plane.errors import Unavailable
from control_plane.ports import FileBytes
from tests.support.fakes import FakeFileBytes


@pytest.fixture(params=["folder", "s3", "fake"])
def contents(request: pytest.FixtureRequest, tmp_path: Path) -> FileBytes:
    if request.param == "s3":
        return S3FileBytes(request.getfixturevalue("bucket"))
    return FolderFileBytes(tmp_path / "files") if request.param == "folder" else FakeFileBytes()


def read(contents: FileBytes, file: str) -> bytes:
    with contents.open(file) as opened:
        return opened.read()


def keep(contents: FileBytes, file: str, *chunks: bytes) -> None:
    with contents.receive(file, chunks) as part:
        part.keep()


def test_what_is_kept_comes_back(contents: FileBytes) -> None:
    with contents.receive("file_1", iter([b"ab", b"", b"c"])) as part:
        assert (part.digest, part.size) == ("sha256:" + hashlib.sha256(b"abc").hexdigest(), 3)
        with pytest.raises(FileNotFoundError):
            contents.open("file_1")
        part.keep()
    assert read(contents, "file_1") == b"abc"
    keep(contents, "file_2")
    assert read(contents, "file_2") == b""


def test_what_is_not_kept_leaves_nothing(contents: FileBytes) -> None:
    def broken() -> Iterator[bytes]:
        yield b"ab"
        raise ConnectionError

    with contents.receive("file_1", [b"abc"]):
        pass
    with pytest.raises(ConnectionError), contents.receive("file_1", broken()):
        pytest.fail("it was received all the same")
    with pytest.raises(ValueError, match="refused"), contents.receive("file_1", [b"abc"]):
        raise ValueError("refused")
    with pytest.raises(FileNotFoundError):
        contents.open("file_1")


def test_the_last_one_kept_counts_and_a_reader_keeps_what_it_opened(contents: FileBytes) -> None:
    keep(contents, "file_1", b"old")
    with contents.open("file_1") as opened:
        keep(contents, "file_1", b"new")
        assert opened.read() == b"old"
    assert read(contents, "file_1") == b"new"


def test_deleting_ends_one_file_alone(contents: FileBytes) -> None:
    for file in ("file_1", "file_11"):
        keep(contents, file, b"abc")
    contents.delete("file_1")
    contents.delete("file_1")
    with pytest.raises(FileNotFoundError):
        contents.open("file_1")
    assert read(contents, "file_11") == b"abc"


def test_a_large_file_is_held_to_the_same(contents: FileBytes) -> None:
    piece = bytes(range(256)) * 4096
    chunks = [piece] * 19
    with contents.receive("file_1", iter(chunks)) as part:
        assert (part.digest, part.size) == (
            "sha256:" + hashlib.sha256(piece * 19).hexdigest(),
            19 * len(piece),
        )
        with pytest.raises(FileNotFoundError):
            contents.open("file_1")
        part.keep()
    with contents.open("file_1") as opened:
        assert opened.read(3) == piece[:3]
        assert opened.read() == (piece * 19)[3:]
    with contents.receive("file_2", iter(chunks)):
        contents.delete("file_2")
    with pytest.raises(FileNotFoundError):
        contents.open("file_2")


@pytest.mark.parametrize("file", ["", "../x", "file_", "file_/../x", "file_A", "sha256:0"])
def test_only_ids_of_files_name_bytes(contents: FileBytes, file: str) -> None:
    with pytest.raises(FileNotFoundError):
        contents.open(file)
    with pytest.raises(FileNotFoundError):
        contents.delete(file)
    with pytest.raises(FileNotFoundError), contents.receive(file, [b"x"]):
        pytest.fail("it was received all the same")


def test_nothing_is_left_in_the_folder_but_whole_files(tmp_path: Path) -> None:
    contents = FolderFileBytes(tmp_path)
    keep(contents, "file_1", b"abc")
    with contents.receive("file_2", [b"abc"]):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file_1"]


_SENDER = """
import sys
from control_plane.adapters.embedded.file_bytes import FolderFileBytes
from pathlib import Path

def chunks():
    while True:
        yield b"x" * 65536
        print("sent", flush=True)

with FolderFileBytes(Path(sys.argv[1])).receive("file_1", chunks()) as part:
    part.keep()
"""


def test_a_kill_in_the_middle_leaves_no_half_file_and_deleting_takes_the_rest(tmp_path: Path) -> None:
    sender = subprocess.Popen(
        [sys.executable, "-c", _SENDER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    assert sender.stdout is not None
    for _ in range(3):
        assert sender.stdout.readline() == b"sent\n"
    sender.send_signal(signal.SIGKILL)
    sender.wait(20)
    sender.stdout.close()
    contents = FolderFileBytes(tmp_path)
    with pytest.raises(FileNotFoundError):
        contents.open("file_1")
    assert list(tmp_path.iterdir()), "the killed sender left what it had"
    keep(contents, "file_1", b"whole")
    assert read(contents, "file_1") == b"whole"
    contents.delete("file_1")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    contents = FolderFileBytes(tmp_path)
    with pytest.raises(Unavailable, match="no room"), contents.receive("file_1", [b"x"]):
        pytest.fail("it was received all the same")
    assert list(tmp_path.iterdir()) == []
