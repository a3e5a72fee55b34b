"""The FileBytes port over a folder: one file for each id, whole or not there.

Not content-addressed as blobs are: a file is deleted by its owner, and the
same bytes of another tenant must not be touched or told of (ADR 0130).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from control_plane.errors import Unavailable
from control_plane.ports import ReceivedBytes

__all__ = ["FolderFileBytes"]

_ID: Final = re.compile(r"file_[0-9a-z]{1,64}")
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}


class _Part:
    """Bytes that have come and are not in their place yet."""

    def __init__(self, path: Path, target: Path, digest: str, size: int) -> None:
        self._path, self._target = path, target
        self.digest = digest
        self.size = size

    def keep(self) -> None:
        """Put them in their place, durably."""
        self._path.replace(self._target)
        folder = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class FolderFileBytes:
    """Files by id; a kill at any moment leaves no half-written one under its id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def receive(self, file: str, chunks: Iterable[bytes]) -> Iterator[ReceivedBytes]:
        """Write the chunks aside and yield them; what is not kept in the block is deleted."""
        target = self._path(file)
        # The id stands in the name, so that deleting the file finds what a killed process left.
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=self._folder)
        path = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as out, _space():
                digest, size = hashlib.sha256(), 0
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            yield _Part(path, target, f"sha256:{digest.hexdigest()}", size)
        finally:
            path.unlink(missing_ok=True)

    def open(self, file: str) -> IO[bytes]:
        """Return the bytes, to be closed by the caller. Raises FileNotFoundError."""
        return self._path(file).open("rb")

    def delete(self, file: str) -> None:
        """Delete the bytes and what is left of attempts to send them; repeating it is no error."""
        target = self._path(file)
        target.unlink(missing_ok=True)
        for left in self._folder.glob(f".{target.name}-*"):
            left.unlink(missing_ok=True)

    def _path(self, file: str) -> Path:
        if not _ID.fullmatch(file):
            raise FileNotFoundError(f"{file[:80]!r} is no file's id")
        return self._folder / file


@contextmanager
def _space() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise Unavailable(
            "There is no room for the file.", hint="Tell the operator, then try again."
        ) from error
