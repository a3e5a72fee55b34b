"""Collects ended processes: the host is the subreaper of all that it started.

An instance's parent is gone before it serves, so the kernel makes the host its
parent. What a template's own process-id namespace swallows, and what ended
while no host ran, has no status here; the supervisor's list may have it.
"""

from __future__ import annotations

import ctypes
import os

from control_plane.adapters.embedded.host.store_client import DescriptorStore

__all__ = ["Ended", "Reaper", "become_subreaper"]

_PR_SET_CHILD_SUBREAPER = 36
_KEPT = 4096


class Ended:
    """What is known of an ended process."""

    __slots__ = ("peak_mb", "status")

    def __init__(self, status: int | None, peak_mb: float) -> None:
        # The wait status, None when nobody saw it.
        self.status = status
        self.peak_mb = peak_mb


def become_subreaper() -> None:
    """Make orphans of this process's descendants its children."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Reaper:
    """Statuses by process id, kept until the pidfd's owner asks for them."""

    def __init__(self, store: DescriptorStore) -> None:
        self._store = store
        self._ended: dict[int, Ended] = {}

    def collect(self) -> None:
        """Reap every ended child."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._keep(pid, Ended(status, usage.ru_maxrss / 1024))

    def take(self, pid: int, *, adopted: bool) -> Ended:
        """Return what is known of an ended process; `adopted` ones were the supervisor's children."""
        self.collect()
        if pid not in self._ended and adopted:
            for orphan, status in self._store.exits():
                self._keep(orphan, Ended(status, 0.0))
        return self._ended.pop(pid, None) or Ended(None, 0.0)

    def peak_mb(self, pid: int) -> float:
        """Return the highest memory use of an ended child, 0 when unknown; `take` still finds it."""
        self.collect()
        return self._ended[pid].peak_mb if pid in self._ended else 0.0

    def _keep(self, pid: int, ended: Ended) -> None:
        # Processes that nobody asks about (a template's intermediate children) must not pile up.
        if len(self._ended) >= _KEPT:
            del self._ended[next(iter(self._ended))]
        self._ended[pid] = ended
