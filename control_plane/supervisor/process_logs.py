"""Keeps the processes' own logs small: a full one is set aside, and one earlier part is kept.

The processes hold the file open for appending, so it is copied and emptied
rather than renamed; a line written in between may be lost.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

__all__ = ["set_aside_full"]


def set_aside_full(folder: Path, most_bytes: int) -> list[str]:
    """Move what is in logs above this size to `<name>.log.1`; return their names. 0 keeps everything."""
    moved = []
    for path in sorted(folder.glob("*.log")) if most_bytes else ():
        # A full disk must not end the supervision.
        with contextlib.suppress(OSError):
            if path.stat().st_size > most_bytes:
                shutil.copyfile(path, path.with_suffix(".log.1"))
                path.with_suffix(".log.1").chmod(0o600)
                os.truncate(path, 0)
                moved.append(path.name)
    return moved
