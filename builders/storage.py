"""Writes content-addressed files and folders so that kill -9 leaves no half of one.

Everything is written under a temporary name beside its place, synced, and
renamed. What is inside the files may not be known here.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = [
    "BlobWriter", "blob_path", "locked", "new_blob", "no_sweep", "put_blob", "remove_leftovers",
    "remove_tree", "replace_file", "still_needed", "sweeping", "sync_folder", "sync_tree",
    "temporary_folder",
]  # fmt: skip

_TEMPORARY = ".tmp-"
# Shared by whoever relies on content that is there, held alone by a sweep while it looks and removes.
_SWEEP_LOCK = ".sweep.lock"
# Older than any step that is still running.
_LEFTOVER_AGE_S = 6 * 3600


def blob_path(blobs: Path, digest: str) -> Path:
    """Return where the content of a digest lies, whether or not it is there."""
    algorithm, _, hexadecimal = digest.partition(":")
    if algorithm != "sha256" or len(hexadecimal) != 64:
        raise ValueError(f"not a digest: {digest!r}")
    return blobs / "sha256" / hexadecimal


class BlobWriter:
    """A writable stream that hashes what passes through it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, content: bytes) -> int:
        """Write and hash; the signature of a binary file."""
        self._hash.update(content)
        self.size += len(content)
        return self._stream.write(content)

    @property
    def digest(self) -> str:
        """The digest of all that was written so far."""
        return f"sha256:{self._hash.hexdigest()}"


@contextlib.contextmanager
def new_blob(blobs: Path) -> Iterator[BlobWriter]:
    """Give a stream whose content becomes a blob when the block ends without an error."""
    folder = blobs / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 20) as stream:
            writer = BlobWriter(stream)
            yield writer
            stream.flush()
            os.fchmod(stream.fileno(), 0o444)
            os.fsync(stream.fileno())
        temporary.rename(blob_path(blobs, writer.digest))
        sync_folder(folder)
    finally:
        temporary.unlink(missing_ok=True)


def put_blob(blobs: Path, content: bytes) -> str:
    """Store a small content and return its digest; storing it again is free."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if not still_needed(blob_path(blobs, digest)):
        with new_blob(blobs) as writer:
            writer.write(content)
    return digest


def replace_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put a file in place of another, whole or not at all."""
    descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        temporary.rename(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make all files of a folder durable: one call for its file system, not one for each of thousands."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed", str(folder))
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Give a folder that is removed when the block ends, unless it was renamed away."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent))
    try:
        yield folder
    finally:
        remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder, read-only parts included; gone already is fine."""
    if folder.is_symlink() or not folder.is_dir():
        return
    folder.chmod(0o700)
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            # What a link leads to is somebody else's.
            if not Path(parent, name).is_symlink():
                Path(parent, name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Remove what a killed process left under a temporary name long ago."""
    oldest = time.time() - _LEFTOVER_AGE_S
    for entry in parent.glob(f"{_TEMPORARY}*") if parent.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if entry.lstat().st_mtime > oldest:
                continue
            if entry.is_dir():
                remove_tree(entry)
            else:
                entry.unlink()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; the kernel frees it when the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def still_needed(path: Path) -> bool:
    """Say whether content is there, and make it young again, so that no sweep takes it for forgotten.

    Without the lock a sweep could look before and remove after.
    """
    with no_sweep(path.parent):
        try:
            os.utime(path)
        except (FileNotFoundError, PermissionError):
            # What another user left can be made anew by its own writer.
            return False
        return True


@contextlib.contextmanager
def no_sweep(folder: Path) -> Iterator[None]:
    """Keep sweeps of a folder away while the block runs; any number may at once."""
    with _flocked(folder, fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def sweeping(folder: Path) -> Iterator[bool]:
    """Hold a folder for a sweep, for milliseconds; gives False when somebody relies on it now."""
    try:
        with _flocked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield True
    except BlockingIOError:
        yield False


@contextlib.contextmanager
def _flocked(folder: Path, how: int) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / _SWEEP_LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
