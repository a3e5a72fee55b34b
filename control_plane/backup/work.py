"""A folder of work in progress: what a killed command leaves behind is found and removed by the next.

Knows nothing of backups but the prefix of their temporary folders.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from builders.storage import remove_tree

__all__ = ["work_folder"]

_PREFIX = ".ingot-work-"


@contextlib.contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """Give a folder beside the place that its content is renamed to; gone when the block ends."""
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # The kernel frees it at death: that is how the next command tells who is still at work.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        remove_tree(folder)
        os.close(descriptor)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(folder)
            finally:
                os.close(descriptor)
