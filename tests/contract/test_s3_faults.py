"""What the adapters of an S3 store do when it dies, refuses, hangs or breaks off: nothing half-done."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from control_plane.adapters.cluster.bucket import Bucket
from control_plane.adapters.cluster.s3_blobs import BLOBS, MARKS, S3Blobs
from control_plane.adapters.cluster.s3_contents import S3Contents
from control_plane.adapters.cluster.s3_file_bytes import S3FileBytes
from control_plane.domain.retention import Content
from control_plane.errors import Unavailable
from tests.support.broken_line import BrokenLine, broken_line
from tests.support.fake_contents import FakeContents
from tests.support.s3_store import S3Store
from tests.support.system import wait_for

_MB = b"x" * (1 << 20)


@pytest.fixture
def line(s3: S3Store) -> Iterator[BrokenLine]:
    with broken_line(s3.port) as made:
        yield made


@pytest.fixture
def beside(s3: S3Store, bucket: Bucket, line: BrokenLine) -> Bucket:
    """The same bucket over the line that fails."""
    return Bucket(s3.access(bucket.name, port=line.port, timeout_s=0.5))


def uploads(bucket: Bucket, key: str) -> list[Any]:
    found = bucket.client.list_multipart_uploads(Bucket=bucket.name, Prefix=key)
    return list(found.get("Uploads", ()))


def test_a_store_killed_in_the_middle_of_a_file_has_nothing_of_it_afterwards(own_s3: S3Store) -> None:
    bucket = own_s3.new_bucket()
    files = S3FileBytes(Bucket(replace(own_s3.access(bucket.name), timeout_s=1.0)))

    def chunks() -> Iterator[bytes]:
        for number in range(30):
            if number == 20:
                own_s3.kill()
            yield _MB

    with pytest.raises(Unavailable), files.receive("file_1", chunks()):
        pytest.fail("it was received all the same")
    with pytest.raises(Unavailable):
        files.open("file_1")
    own_s3.start()
    with pytest.raises(FileNotFoundError):
        files.open("file_1")
    with files.receive("file_1", [b"whole"]) as part:
        part.keep()
    files.delete("file_1")
    assert uploads(bucket, "files/file_1") == []


def test_a_store_killed_before_a_file_is_kept_leaves_the_former_one(own_s3: S3Store) -> None:
    bucket = own_s3.new_bucket()
    files = S3FileBytes(Bucket(replace(own_s3.access(bucket.name), timeout_s=1.0)))
    with files.receive("file_1", [b"former"]) as part:
        part.keep()
    with files.receive("file_1", [_MB] * 10) as part:
        own_s3.kill()
        with pytest.raises(Unavailable):
            part.keep()
    own_s3.start()
    with files.open("file_1") as opened:
        assert opened.read() == b"former"


_SENDER = """
import sys
from control_plane.adapters.cluster.bucket import Bucket, BucketAccess
from control_plane.adapters.cluster.s3_file_bytes import S3FileBytes

def chunks():
    while True:
        yield b"x" * (9 << 20)
        print("sent", flush=True)

endpoint, bucket, user, password = sys.argv[1:]
access = BucketAccess(bucket, endpoint, "us-east-1", "", user, password)
with S3FileBytes(Bucket(access)).receive("file_1", chunks()) as part:
    part.keep()
"""


def test_a_killed_sender_leaves_no_file_and_deleting_takes_its_parts(s3: S3Store, bucket: Bucket) -> None:
    command = [sys.executable, "-c", _SENDER, s3.endpoint, bucket.name, s3.user, s3.password]
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path.cwd())
    assert sender.stdout is not None
    assert sender.stdout.readline() == b"sent\n"
    sender.send_signal(signal.SIGKILL)
    sender.wait(20)
    sender.stdout.close()
    files = S3FileBytes(bucket)
    with pytest.raises(FileNotFoundError):
        files.open("file_1")
    assert uploads(bucket, "files/file_1"), "the killed sender left what it had"
    files.delete("file_1")
    assert uploads(bucket, "files/file_1") == []


@pytest.mark.parametrize("fault", ["refusing", "silent"])
def test_a_store_that_refuses_or_hangs_is_said_and_nothing_is_stored(
    beside: Bucket, bucket: Bucket, line: BrokenLine, fault: str
) -> None:
    setattr(line, fault, True)
    with pytest.raises(Unavailable, match="object store"):
        S3Blobs(beside).put(b"content")
    with pytest.raises(Unavailable), S3FileBytes(beside).receive("file_1", [b"x"]) as part:
        part.keep()
    with pytest.raises(Unavailable):
        S3FileBytes(beside).open("file_1")
    assert line.connections > 4, "what may be repeated was not repeated"
    setattr(line, fault, False)
    assert bucket.client.list_objects_v2(Bucket=bucket.name)["KeyCount"] == 0
    assert S3Blobs(beside).has(S3Blobs(beside).put(b"content"))


def test_a_read_that_breaks_off_goes_on_where_it_was(
    beside: Bucket, bucket: Bucket, line: BrokenLine
) -> None:
    content = hashlib.sha256(b"seed").digest() * (1 << 16)
    with S3FileBytes(bucket).receive("file_1", [content]) as part:
        part.keep()
    line.cut_after, line.cuts_left = 600_000, 2
    with S3FileBytes(beside).open("file_1") as opened:
        assert opened.read() == content
    assert line.cuts_left == 0
    line.cut_after, line.cuts_left = 200_000, -1
    with S3FileBytes(beside).open("file_1") as opened, pytest.raises(Unavailable):
        opened.read()


def test_a_read_never_mixes_in_what_replaced_the_file(
    beside: Bucket, bucket: Bucket, line: BrokenLine
) -> None:
    with S3FileBytes(bucket).receive("file_1", [_MB * 4]) as part:
        part.keep()
    line.cut_after, line.cuts_left = 600_000, 1
    with S3FileBytes(beside).open("file_1") as opened:
        opened.read(10)
        with S3FileBytes(bucket).receive("file_1", [b"y" * (4 << 20)]) as part:
            part.keep()
        with pytest.raises(Unavailable, match="changed"):
            opened.read()


def test_a_truncated_blob_is_never_taken_for_whole(beside: Bucket, bucket: Bucket, line: BrokenLine) -> None:
    digest = S3Blobs(bucket).put(_MB)
    line.cut_after = 300_000
    with pytest.raises(Unavailable):
        S3Blobs(beside).get(digest)
    assert S3Blobs(bucket).get(digest) == _MB


def test_wrong_keys_and_absent_buckets_are_told_apart(s3: S3Store, bucket: Bucket) -> None:
    access = s3.access(bucket.name)
    with pytest.raises(Unavailable, match="refuses Ingot"):
        S3Blobs(Bucket(replace(access, secret_key="wrong"))).put(b"x")
    with pytest.raises(Unavailable, match="no such bucket"):
        S3Blobs(Bucket(replace(access, bucket="absent"))).put(b"x")
    with pytest.raises(Unavailable, match="refuses Ingot"):
        Bucket(replace(access, secret_key="wrong")).ensure()


def test_a_bucket_is_made_once_and_what_is_in_it_stays(s3: S3Store, bucket: Bucket) -> None:
    fresh = Bucket(replace(s3.access(f"{bucket.name}-new"), prefix="below/"))
    fresh.ensure()
    digest = S3Blobs(fresh).put(b"kept")
    fresh.ensure()
    assert S3Blobs(fresh).get(digest) == b"kept"
    (entry,) = fresh.client.list_objects_v2(Bucket=fresh.name)["Contents"]
    assert entry["Key"] == f"below/{BLOBS}{digest[7:]}"


def test_whoever_puts_while_a_sweep_is_at_it_waits_and_has_it_afterwards(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race that matters: a sweep has seen the object old; it removes it after it was put again."""
    # Everything is old at once.
    monkeypatch.setattr("control_plane.adapters.cluster.s3_blobs._YOUNG_MS", -10_000)
    blobs, contents = S3Blobs(bucket), S3Contents(bucket, FakeContents())
    digest = blobs.put(b"needed")
    delete = bucket.client.delete_object
    putting = Thread(target=blobs.put, args=(b"needed",))
    marks = f"{MARKS}{digest[7:]}"

    def delete_late(**place: Any) -> Any:
        if place["Key"] == f"{BLOBS}{digest[7:]}":
            before = bucket.client.head_object(**place)["LastModified"]
            putting.start()
            # The object has been put anew by now, between the sweep's look and its removal.
            wait_for(lambda: bucket.client.head_object(**place)["LastModified"] > before, 10)
            assert bucket.client.head_object(**bucket.at(marks))
        return delete(**place)

    monkeypatch.setattr(bucket.client, "delete_object", delete_late)
    assert contents.remove(Content("blob", digest, 6), 4_000_000_000_000)
    putting.join(20)
    assert not putting.is_alive()
    assert blobs.get(digest) == b"needed"
    with pytest.raises(bucket.client.exceptions.ClientError):
        bucket.client.head_object(**bucket.at(marks))
