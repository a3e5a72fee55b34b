"""The user that is made in a real MinIO does all that Ingot does, and reaches nothing else."""

from __future__ import annotations

import secrets
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.adapters.cluster.bucket import Bucket
from control_plane.adapters.cluster.s3_blobs import S3Blobs
from control_plane.adapters.cluster.s3_contents import S3Contents
from control_plane.adapters.cluster.s3_file_bytes import S3FileBytes
from control_plane.bootstrap.minio_user import make
from control_plane.bootstrap.storage import bucket_access
from control_plane.errors import Invalid, Unavailable
from control_plane.settings import Settings, load_settings
from tests.support.fake_contents import FakeContents
from tests.support.s3_store import S3Store


@pytest.fixture(params=["", "part/"])
def settings(request: pytest.FixtureRequest, s3: S3Store, tmp_path: Path) -> Settings:
    return load_settings(
        tmp_path / "data",
        {
            "XDG_RUNTIME_DIR": "",
            "INGOT_STORAGE_BUCKET": f"own-{secrets.token_hex(6)}",
            "INGOT_STORAGE_ENDPOINT": s3.endpoint,
            "INGOT_STORAGE_PREFIX": request.param,
            "INGOT_STORAGE_ACCESS_KEY": f"ingot-{secrets.token_hex(4)}",
            "INGOT_STORAGE_SECRET_KEY_FILE": str(tmp_path / "secret"),
            "INGOT_STORAGE_TIMEOUT_S": "10",
        },
    )


def administrator(s3: S3Store) -> dict[str, str]:
    return {"MINIO_ROOT_USER": s3.user, "MINIO_ROOT_PASSWORD": s3.password}


def test_it_does_all_that_ingot_does(settings: Settings, s3: S3Store) -> None:
    make(settings, administrator(s3))
    assert stat.S_IMODE(Path(settings.storage.secret_key_file).stat().st_mode) == 0o600
    bucket = Bucket(bucket_access(settings.storage))
    bucket.ensure()
    blobs, files = S3Blobs(bucket), S3FileBytes(bucket)
    digest = blobs.put(b"content")
    assert blobs.get(digest) == b"content"
    assert list(S3Contents(bucket, FakeContents()).untouched_since(4_000_000_000_000))
    with files.receive("file_1", [b"x" * (9 << 20)]) as part:
        part.keep()
    with files.receive("file_1", [b"x" * (9 << 20)]):
        pass
    with files.open("file_1") as opened:
        assert len(opened.read()) == 9 << 20
    files.delete("file_1")
    with pytest.raises(FileNotFoundError):
        files.open("file_1")


def test_it_reaches_no_other_bucket_and_nothing_beside_its_prefix(settings: Settings, s3: S3Store) -> None:
    others = s3.new_bucket()
    digest = S3Blobs(others).put(b"of others")
    make(settings, administrator(s3))
    access = bucket_access(settings.storage)
    there = Bucket(replace(access, bucket=others.name, prefix=""))
    with pytest.raises(Unavailable, match="refuses Ingot"):
        S3Blobs(there).get(digest)
    with pytest.raises(Unavailable, match="refuses Ingot"):
        there.ensure()
    with pytest.raises(Unavailable, match="refuses Ingot"):
        Bucket(replace(access, bucket=f"{access.bucket}-new")).ensure()
    if access.prefix:
        for beside in ("", "other/"):
            with pytest.raises(Unavailable, match="refuses Ingot"):
                S3Blobs(Bucket(replace(access, prefix=beside))).put(b"x")
            with pytest.raises(Unavailable, match="refuses Ingot"):
                Bucket(replace(access, prefix=beside)).ensure()


def test_making_it_again_keeps_the_secret_and_takes_a_new_one(settings: Settings, s3: S3Store) -> None:
    make(settings, administrator(s3))
    secret = Path(settings.storage.secret_key_file)
    first = secret.read_text()
    make(settings, administrator(s3))
    assert secret.read_text() == first
    old = bucket_access(settings.storage)
    secret.unlink()
    make(settings, administrator(s3))
    Bucket(bucket_access(settings.storage)).ensure()
    with pytest.raises(Unavailable, match="refuses Ingot"):
        Bucket(old).ensure()


def test_what_cannot_be_made_is_said_without_a_secret(settings: Settings, s3: S3Store) -> None:
    with pytest.raises(Unavailable, match="refuses") as refused:
        make(settings, {**administrator(s3), "MINIO_ROOT_PASSWORD": "not the password"})
    assert "not the password" not in f"{refused.value} {refused.value.hint}"
    with pytest.raises(Invalid, match="administrator is not named"):
        make(settings, {})
    own = replace(settings, storage=replace(settings.storage, access_key=s3.user))
    with pytest.raises(Invalid, match="cannot be narrowed"):
        make(own, administrator(s3))
