"""What every Contents does: it never removes what somebody has relied on since."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.image import ImageLayer, put_image
from builders.layers import entries_of_files, put_layer
from builders.storage import no_sweep, put_blob
from builders.unpack import unpack_layer
from control_plane.adapters.embedded.blobs import FolderBlobs
from control_plane.adapters.embedded.contents import FolderContents
from control_plane.domain.retention import Content
from control_plane.ports import Contents
from tests.support.fake_contents import FakeContents

HOUR_MS = 3_600_000
NOW_MS = 1_900_000_000_000


@pytest.fixture(params=["folder", "fake"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Contents, Callable[[bytes, int], str]]:
    """A Contents, and how to put a blob that was touched at a time."""
    if request.param == "fake":
        fake = FakeContents()

        def put_fake(content: bytes, at_ms: int) -> str:
            digest = f"sha256:{content.hex():0>64}"
            fake.put(Content("blob", digest, len(content)), at_ms)
            return digest

        return fake, put_fake
    blobs = FolderBlobs(tmp_path / "blobs")

    def put(content: bytes, at_ms: int) -> str:
        digest = blobs.put(content)
        path = tmp_path / "blobs" / "sha256" / digest.removeprefix("sha256:")
        os.utime(path, ns=(at_ms * 1_000_000, at_ms * 1_000_000))
        return digest

    return FolderContents(tmp_path / "blobs", tmp_path / "layers"), put


def test_only_what_nobody_touched_is_listed_and_removed(
    place: tuple[Contents, Callable[[bytes, int], str]],
) -> None:
    contents, put = place
    old, young = put(b"old", NOW_MS - HOUR_MS), put(b"young", NOW_MS)
    (found,) = contents.untouched_since(NOW_MS - 1000)
    assert found == Content("blob", old, 3)
    assert not contents.remove(Content("blob", young, 5), NOW_MS - 1000)
    assert contents.remove(found, NOW_MS - 1000)
    assert not contents.remove(found, NOW_MS - 1000)
    assert {one.digest for one in contents.untouched_since(NOW_MS + 1)} == {young}


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
