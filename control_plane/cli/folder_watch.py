"""What changed in a function's folder since the last look: by size and time first, then by content."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from control_plane.cli.archives import tree

__all__ = ["FolderWatch", "digest_of_file"]


def digest_of_file(content: bytes) -> str:
    """Return the digest by which the server knows the content."""
    return f"sha256:{sha256(content).hexdigest()}"


class FolderWatch:
    """Compares a folder with what the server is known to hold."""

    def __init__(self, folder: Path, known: Mapping[str, str]) -> None:
        """`known` is path -> digest of the files on the server."""
        self._folder = folder
        self._known = dict(known)
        # path -> (size, time) of the last look
        self._stamps: dict[str, tuple[int, int]] = {}
        # When the newest of the last changes was written, in Unix seconds; 0.0 when only deletions came.
        self.changed_at = 0.0

    def changes(self) -> dict[str, bytes | None]:
        """Return path -> new content, None for a deleted file; nothing when all is as it was.

        A file that vanishes while it is read is seen at the next look.
        """
        stamps, changed = {}, {}
        newest = 0.0
        for name, path in tree(self._folder):
            try:
                status = path.stat()
                stamps[name] = (status.st_size, status.st_mtime_ns)
                if self._stamps.get(name) == stamps[name]:
                    continue
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            if digest_of_file(content) != self._known.get(name):
                changed[name] = content
                newest = max(newest, status.st_mtime)
        gone: dict[str, bytes | None] = dict.fromkeys(self._known.keys() - stamps.keys())
        self._stamps = stamps
        self.changed_at = newest
        return {**gone, **changed}

    def sent(self, changes: Mapping[str, bytes | None]) -> None:
        """Remember that the server has these now."""
        for name, content in changes.items():
            if content is None:
                self._known.pop(name, None)
            else:
                self._known[name] = digest_of_file(content)

    def forget_looks(self) -> None:
        """Look at every file anew: what was seen last could not be sent."""
        self._stamps = {}
