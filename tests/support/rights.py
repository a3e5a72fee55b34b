"""What this test run may do: some tests start processes under other user ids."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

__all__ = ["OTHER_USERS", "becomes_other_users", "functions_need_an_open_interpreter"]

_ROOT = Path(__file__).resolve().parents[2]


def _closed() -> Path | None:
    """Return the first folder on the way to the checkout or the interpreter that other users may not pass."""
    for path in (_ROOT, Path(sys.executable).resolve(), Path(sys.base_prefix).resolve()):
        for step in (path, *path.parents):
            if not step.stat().st_mode & stat.S_IXOTH:
                return step
    return None


_CLOSED = _closed()
# Why processes of other users cannot run this checkout; empty when they can.
OTHER_USERS = (
    "only root can become another user"
    if os.geteuid() != 0
    else f"{_CLOSED} is closed to other users"
    if _CLOSED is not None
    else ""
)


# For tests that start processes of another user.
becomes_other_users = pytest.mark.skipif(bool(OTHER_USERS), reason=OTHER_USERS)
# As root, functions have user ids of their own; only level namespaces shows them a closed folder.
functions_need_an_open_interpreter = pytest.mark.skipif(
    os.geteuid() == 0 and _CLOSED is not None, reason=f"{_CLOSED} is closed to the functions' users"
)
