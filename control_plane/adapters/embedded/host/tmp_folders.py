"""Folders for temporary files of instances that have no private mount (level landlock).

An instance may fill its folder with anything, so a process of its own removes it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["TmpFolders"]

_REMOVE = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)"


class TmpFolders:
    """One folder for each instance, below the host's data folder."""

    def __init__(self, folder: Path, *, needed: bool) -> None:
        self._folder = folder
        self._needed = needed

    def make(self, instance: str, uid: int | None) -> str:
        """Return a new private folder, or nothing where the sandbox mounts one."""
        if not self._needed:
            return ""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Every instance's own user id passes through; mkdir obeys the umask, chmod does not.
        self._folder.chmod(0o711)
        folder = self._folder / instance
        folder.mkdir(mode=0o700)
        if uid is not None:
            os.chown(folder, uid, uid)
        return str(folder)

    def remove(self, instance: str) -> None:
        """Remove an instance's folder without waiting for it; the reaper collects the process."""
        folder = self._folder / instance
        if self._needed and folder.exists():
            # By this Python: a container's image holds no other program that could.
            command = [sys.executable, "-I", "-S", "-c", _REMOVE, str(folder)]
            os.posix_spawn(sys.executable, command, dict(os.environ))

    def sweep(self, living: set[str]) -> None:
        """Remove what a former host left."""
        if self._needed and self._folder.is_dir():
            for folder in self._folder.iterdir():
                if folder.name not in living:
                    self.remove(folder.name)
