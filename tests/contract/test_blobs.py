"""The Blobs port: the folder and the fake."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.adapters.embedded.blobs import FolderBlobs
from control_plane.ports import Blobs
from tests.support.fakes import FakeBlobs


@pytest.fixture(params=["folder", "fake"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return FolderBlobs(tmp_path / "blobs") if request.param == "folder" else FakeBlobs()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.binary(max_size=200))
def test_content_comes_back_under_its_hash(blobs: Blobs, content: bytes) -> None:
    digest = blobs.put(content)
    assert digest == "sha256:" + hashlib.sha256(content).hexdigest()
    assert blobs.put(content) == digest
    assert blobs.get(digest) == content
    assert blobs.has(digest)


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "sha256:../../etc/passwd", "", "md5:0"])
def test_what_is_not_there_is_not_found(blobs: Blobs, digest: str) -> None:
    assert not blobs.has(digest)
    with pytest.raises(FileNotFoundError):
        blobs.get(digest)


def test_damaged_content_is_not_found_and_can_be_stored_again(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    digest = blobs.put(b"good")
    (tmp_path / "sha256" / digest[7:]).write_bytes(b"evil")
    with pytest.raises(FileNotFoundError, match="damaged"):
        blobs.get(digest)
    assert blobs.get(blobs.put(b"good")) == b"good"


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FolderBlobs(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        blobs.put(b"x")
    # A folder keeps the lock that sweeps of it take.
    assert [one.name for one in (tmp_path / "sha256").iterdir()] == [".sweep.lock"]
