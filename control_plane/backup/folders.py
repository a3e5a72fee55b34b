"""Which parts of the data folder a backup takes, which it makes anew, and which it must not take.

A folder that is not named here is taken as it is: forgetting to save is worse
than saving too much.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["MADE_ANEW", "plain_files", "symbolic_links"]

# Top-level names that no backup holds, each with the reason.
MADE_ANEW = {
    "db": "taken as snapshots, not as files that change",
    "keys": "sealed, or kept apart",
    "config": "written by each start",
    "logs": "about the processes of this machine",
    "cache": "downloads that can be repeated",
    "bytecode": "compiled again when it is missing",
    "layers": "unpacked again from their blobs",
    "gateway": "written anew from the control database; its log is taken with the usage database",
    "up.json": "about the processes of this machine",
}
# The rest of `host` is written anew from the control database.
_OF_HOST = "host/logs"
_UNFINISHED = (".tmp-", ".new-", ".ingot-work-")
_LOCKS = ".lock"


def plain_files(data: Path) -> Iterator[Path]:
    """Yield every file to take as it is, by its path below the data folder, in a stable order."""
    for folder in _tops(data):
        if folder.is_file() and not folder.is_symlink():
            yield folder.relative_to(data)
        for parent, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = Path(parent, name)
                unfinished = name.startswith(_UNFINISHED) or name.endswith(_LOCKS)
                if not unfinished and path.is_file() and not path.is_symlink():
                    yield path.relative_to(data)


def symbolic_links(data: Path) -> dict[str, str]:
    """Return the links that point to something beside or below themselves."""
    found = {}
    for folder in _tops(data):
        for parent, folders, names in os.walk(folder):
            for name in (*folders, *names):
                path = Path(parent, name)
                target = str(path.readlink()) if path.is_symlink() else ".."
                if not target.startswith("/") and ".." not in Path(target).parts:
                    found[path.relative_to(data).as_posix()] = target
    return found


def _tops(data: Path) -> Iterator[Path]:
    for path in sorted(data.iterdir()):
        if path.name == "host":
            yield data / _OF_HOST
        elif path.name not in MADE_ANEW and not path.name.startswith(_UNFINISHED):
            yield path
