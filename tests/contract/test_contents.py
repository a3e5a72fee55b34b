"""What every Contents does: it never removes what somebody has relied on since."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.image import ImageLayer, put_image
from builders.layers import entries_of_files, put_layer
from builders.storage import no_sweep, put_blob
from builders.unpack import unpack_layer
from control_plane.adapters.cluster.bucket import Bucket
from control_plane.adapters.cluster.s3_blobs import S3Blobs
from control_plane.adapters.cluster.s3_contents import S3Contents
from control_plane.adapters.embedded.blobs import FolderBlobs
from control_plane.adapters.embedded.contents import FolderContents
from control_plane.domain.retention import Content
from control_plane.ports import Contents
from tests.support.fake_contents import FakeContents
from tests.support.system import wait_for

HOUR_MS = 3_600_000
NOW_MS = 1_900_000_000_000


@dataclass(frozen=True)
class Place:
    """A Contents with an old and a young blob in it."""

    contents: Contents
    old: str
    young: str
    # A time between the two.
    between_ms: int


@pytest.fixture(params=["folder", "s3", "fake"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "fake":
        fake = FakeContents()
        for digest, size, at_ms in (("a", 3, NOW_MS - HOUR_MS), ("b", 5, NOW_MS)):
            fake.put(Content("blob", f"sha256:{digest:0>64}", size), at_ms)
        return Place(fake, f"sha256:{'a':0>64}", f"sha256:{'b':0>64}", NOW_MS - 1000)
    here = FolderContents(tmp_path / "blobs", tmp_path / "layers")
    if request.param == "s3":
        return _in_bucket(request.getfixturevalue("bucket"), here)
    blobs = FolderBlobs(tmp_path / "blobs")
    old, young = blobs.put(b"old"), blobs.put(b"young")
    for digest, at_ms in ((old, NOW_MS - HOUR_MS), (young, NOW_MS)):
        path = tmp_path / "blobs" / "sha256" / digest.removeprefix("sha256:")
        os.utime(path, ns=(at_ms * 1_000_000, at_ms * 1_000_000))
    return Place(here, old, young, NOW_MS - 1000)


def _in_bucket(bucket: Bucket, here: Contents) -> Place:
    blobs = S3Blobs(bucket)
    old = blobs.put(b"old")
    # An object's age is told in whole seconds, and nobody can set it.
    between = (int(time.time()) + 1) * 1000
    wait_for(lambda: time.time() * 1000 >= between, 5)
    return Place(S3Contents(bucket, here), old, blobs.put(b"young"), between)


def test_only_what_nobody_touched_is_listed_and_removed(place: Place) -> None:
    contents, before_ms = place.contents, place.between_ms
    (found,) = contents.untouched_since(before_ms)
    assert found == Content("blob", place.old, 3)
    assert not contents.remove(Content("blob", place.young, 5), before_ms)
    assert contents.remove(found, before_ms)
    assert not contents.remove(found, before_ms)
    assert {one.digest for one in contents.untouched_since(NOW_MS + 1)} == {place.young}


def test_what_is_put_again_is_young_again(tmp_path: Path) -> None:
    for put in (FolderBlobs(tmp_path).put, lambda content: put_blob(tmp_path, content)):
        digest = put(b"same")
        path = tmp_path / "sha256" / digest.removeprefix("sha256:")
        os.utime(path, (1, 1))
        put(b"same")
        assert path.stat().st_mtime > 1_000_000


def test_a_layer_goes_whole_and_an_image_names_its_parts(tmp_path: Path) -> None:
    blobs, layers = tmp_path / "blobs", tmp_path / "layers"
    digest, size = put_layer(entries_of_files({"main.py": b"x = 1\n"}), "function", blobs)
    folder = unpack_layer(blobs, layers, digest, "function")
    manifest = b'{"handler":"main:x","kind":"handler","runtime":"python3.11"}'
    image = put_image(blobs, manifest, "linux-x86_64", [ImageLayer("function", digest, size)])
    contents = FolderContents(blobs, layers)
    assert digest in contents.parts(image)
    assert len(contents.parts(image)) == 2
    assert contents.parts(digest) == frozenset()
    os.utime(folder, (1, 1))
    (found,) = contents.untouched_since(2_000)
    assert found == Content("layer", digest, 6)
    assert contents.remove(found, 2_000)
    assert not folder.exists()
    assert unpack_layer(blobs, layers, digest, "function") == folder


def test_nothing_is_removed_while_a_backup_reads(tmp_path: Path) -> None:
    digest = FolderBlobs(tmp_path / "blobs").put(b"x")
    path = tmp_path / "blobs" / "sha256" / digest.removeprefix("sha256:")
    os.utime(path, (1, 1))
    contents = FolderContents(tmp_path / "blobs", tmp_path / "layers")
    with no_sweep(path.parent):
        assert not contents.remove(Content("blob", digest, 1), 2_000)
    assert contents.remove(Content("blob", digest, 1), 2_000)


class _Race:
    """One who freezes, several who sweep, and one who makes everything look an age old in between."""

    def __init__(self, folder: Path) -> None:
        self.blobs = FolderBlobs(folder / "blobs")
        self.contents = FolderContents(folder / "blobs", folder / "layers")
        self.pieces = [f"piece {number}".encode() for number in range(20)]
        self.paths = [
            folder / "blobs" / "sha256" / hashlib.sha256(piece).hexdigest() for piece in self.pieces
        ]
        self.stop = threading.Event()
        # Held while a freeze runs: nobody makes its content old before its row is there.
        self.freezing = threading.Lock()

    def sweep(self) -> None:
        while not self.stop.is_set():
            for found in self.contents.untouched_since(HOUR_MS):
                self.contents.remove(found, HOUR_MS)

    def age(self) -> None:
        while not self.stop.is_set():
            for path in self.paths:
                with self.freezing, contextlib.suppress(FileNotFoundError):
                    os.utime(path, (1, 1))

    def freeze_all(self) -> int:
        """Return how many were gone right after they were put."""
        gone = 0
        for piece in self.pieces:
            with self.freezing:
                gone += not self.blobs.has(self.blobs.put(piece))
        return gone


def test_whoever_puts_while_a_sweep_removes_finds_it_afterwards(tmp_path: Path) -> None:
    """The race that matters: `put` finds old content and writes nothing, a sweep removes it just then."""
    race = _Race(tmp_path)
    threads = [threading.Thread(target=target) for target in (race.sweep, race.sweep, race.age)]
    for thread in threads:
        thread.start()
    try:
        assert sum(race.freeze_all() for _ in range(150)) == 0
    finally:
        race.stop.set()
        for thread in threads:
            thread.join()
