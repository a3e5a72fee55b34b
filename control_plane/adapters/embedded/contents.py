"""The Contents port over the blob and layer folders: what lies there, and removing it safely.

A file's time of change says when somebody last relied on it (`builders.storage.still_needed`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from builders.storage import remove_tree, sweeping
from control_plane.domain.retention import Content

__all__ = ["FolderContents"]

_HEX = frozenset("0123456789abcdef")
_DOOMED = ".tmp-doomed-"


class FolderContents:
    """Blobs in `<blobs>/sha256`, unpacked layers in `<layers>`."""

    def __init__(self, blobs: Path, layers: Path) -> None:
        self._folders = {"blob": blobs / "sha256", "layer": layers}

    def untouched_since(self, before_ms: int) -> Iterator[Content]:
        """Yield what nobody has written or relied on since then."""
        for kind, folder in self._folders.items():
            for entry in os.scandir(folder) if folder.is_dir() else ():
                if len(entry.name) != 64 or not _HEX.issuperset(entry.name):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_mtime_ns < before_ms * 1_000_000:
                        size = status.st_size if kind == "blob" else _tree_size(Path(entry.path))
                        yield Content(kind, f"sha256:{entry.name}", size)

    def parts(self, image: str) -> frozenset[str]:
        """Return the digests that an image's manifest names; none when it is no image, or gone."""
        path = self._folders["blob"] / image.removeprefix("sha256:")
        try:
            found = json.loads(path.read_bytes())
            return frozenset({found["config"]["digest"], *(layer["digest"] for layer in found["layers"])})
        except (OSError, ValueError, KeyError, TypeError):
            return frozenset()

    def remove(self, content: Content, before_ms: int) -> bool:
        """Remove one unless somebody has relied on it since `before_ms`, or does now."""
        folder = self._folders[content.kind]
        path = folder / content.digest.removeprefix("sha256:")
        doomed = folder / f"{_DOOMED}{path.name}"
        with sweeping(folder) as alone:
            try:
                if not alone or path.lstat().st_mtime_ns >= before_ms * 1_000_000:
                    return False
                # A rename is one moment; deleting a large layer is many.
                path.rename(doomed)
            except FileNotFoundError:
                return False
        if content.kind == "layer":
            remove_tree(doomed)
        else:
            doomed.unlink(missing_ok=True)
        return True


def _tree_size(folder: Path) -> int:
    return sum(
        (Path(parent) / name).lstat().st_size for parent, _, names in os.walk(folder) for name in names
    )
