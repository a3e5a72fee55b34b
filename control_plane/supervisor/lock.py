"""One `ingot up` for each data folder: an flock that the kernel frees at death.

The lock file also lists the processes of the run, so that the next start can
end what a killed supervisor left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from control_plane.errors import Conflict

__all__ = ["RunLock", "is_held", "recorded", "start_time"]


def start_time(pid: int) -> int:
    """Return when a process began, in clock ticks since boot; 0 if there is none.

    A pid alone may have been given to somebody else; a pid and this may not.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def is_held(data: Path) -> bool:
    """Say whether an Ingot runs on this data folder, or has not quite ended yet."""
    try:
        descriptor = os.open(data / "up.json", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def recorded(data: Path) -> dict[str, Any]:
    """Return what the Ingot that runs on this data folder wrote down; nothing when none runs."""
    try:
        if is_held(data):
            return _facts((data / "up.json").read_text())
    except OSError:
        # It is another user's: then they alone can ask.
        pass
    return {}


class RunLock:
    """Holds the data folder for one supervisor."""

    def __init__(self, data: Path) -> None:
        """Take the lock. Raises Conflict, naming the holder, when it is taken."""
        self._descriptor = os.open(data / "up.json", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._read()
            os.close(self._descriptor)
            raise Conflict(
                f"Ingot is already running on {data}, pid {holder.get('pid', 'unknown')}.",
                hint="Use it, or stop it with `ingot down` first.",
            ) from None

    def record(self, facts: dict[str, Any]) -> None:
        """Write what runs now; readers may see the old or the new text, never a mix."""
        text = json.dumps(facts).encode()
        # One write and one truncation: a reader parses up to the first newline.
        os.pwrite(self._descriptor, text + b"\n", 0)
        os.ftruncate(self._descriptor, len(text) + 1)

    def end_leftovers(self, patience_s: float = 10.0) -> list[int]:
        """End what an earlier, killed supervisor left behind; return the pids.

        Those processes were told to drain when their supervisor died; they get
        `patience_s` for it, then SIGKILL.
        """
        children = self._read().get("children", [])
        left = [(pid, began) for pid, began in children if began and start_time(pid) == began]
        ended = [pid for pid, _ in left]
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = [(pid, began) for pid, began in left if start_time(pid) == began]
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return ended

    def release(self) -> None:
        """Give the data folder free; the file stays, empty."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _read(self) -> dict[str, Any]:
        return _facts(os.pread(self._descriptor, 1 << 20, 0).decode(errors="replace"))


def _facts(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text.partition("\n")[0] or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
