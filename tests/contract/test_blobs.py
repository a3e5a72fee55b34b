"""The Blobs port: the folder, the S3 store and the fake."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.adapters.cluster.bucket import Bucket
from control_plane.adapters.cluster.s3_blobs import BLOBS, S3Blobs
from control_plane.adapters.embedded.blobs import FolderBlobs
from control_plane.ports import Blobs
from tests.support.fakes import FakeBlobs


@pytest.fixture(params=["folder", "s3", "fake"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "s3":
        return S3Blobs(request.getfixturevalue("bucket"))
    return FolderBlobs(tmp_path / "blobs") if request.param == "folder" else FakeBlobs()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
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


def test_damage_in_the_store_is_not_found_and_can_be_stored_again(bucket: Bucket) -> None:
    blobs = S3Blobs(bucket)
    digest = blobs.put(b"good")
    bucket.client.put_object(**bucket.at(f"{BLOBS}{digest[7:]}"), Body=b"evil")
    with pytest.raises(FileNotFoundError, match="damaged"):
        blobs.get(digest)
    assert blobs.get(blobs.put(b"good")) == b"good"


def test_a_large_content_goes_and_comes_in_parts_and_a_damaged_one_does_not_go(
    bucket: Bucket, tmp_path: Path
) -> None:
    blobs, content = S3Blobs(bucket), b"0123456789abcdef" * (20 << 16)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    blobs.put_file(source, digest)
    with target.open("wb") as stream:
        blobs.get_file(digest, stream)
    assert target.read_bytes() == content
    wrong = "sha256:" + "1" * 64
    with pytest.raises(FileNotFoundError, match="damaged"):
        blobs.put_file(source, wrong)
    assert not blobs.has(wrong)
