"""The Blobs port over a folder: `sha256/<hex>`, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from builders.storage import still_needed

__all__ = ["FolderBlobs"]

_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")


class FolderBlobs:
    """Content-addressed files; a kill at any moment leaves no half-written blob under its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "sha256"
        self._folder.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes) -> str:
        """Store and return the digest; storing the same content again is free."""
        hexadecimal = hashlib.sha256(content).hexdigest()
        path = self._folder / hexadecimal
        if not still_needed(path):
            self._write(path, content)
        return f"sha256:{hexadecimal}"

    def get(self, digest: str) -> bytes:
        """Return the content, verified. Raises FileNotFoundError."""
        path = self._path(digest)
        if path is None:
            raise FileNotFoundError(f"{digest[:80]!r} is no digest")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != path.name:
            # Damaged content must look absent, so that whoever has it stores it again.
            path.unlink(missing_ok=True)
            raise FileNotFoundError(f"the blob {digest} was damaged on disk")
        return content

    def has(self, digest: str) -> bool:
        """Say whether the content is there."""
        path = self._path(digest)
        return path is not None and path.is_file()

    def _path(self, digest: str) -> Path | None:
        match = _DIGEST.fullmatch(digest)
        return self._folder / match[1] if match else None

    def _write(self, path: Path, content: bytes) -> None:
        descriptor, name = tempfile.mkstemp(prefix=".new-", dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
