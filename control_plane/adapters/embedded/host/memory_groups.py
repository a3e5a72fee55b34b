"""Control groups of instances, made by the sandbox package; none where they cannot be made.

The package lies beside the templates, not on this process's import path, so
it is loaded from the configured folder.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
from pathlib import Path
from typing import Any

__all__ = ["MemoryGroups"]

_log = logging.getLogger(__name__)
_PROCESSES = 64


class MemoryGroups:
    """One group for each process that runs user code."""

    def __init__(self, sandbox: Path, name: str) -> None:
        """`name` is the same for every host of one data folder, so that a restart finds its groups."""
        if str(sandbox) not in sys.path:
            sys.path.append(str(sandbox))
        self._groups: Any = importlib.import_module("ingot_sandbox.cgroups").Groups(name)
        # Without a memory group the sandbox sets a data limit instead.
        self.limited = bool(self._groups.memory)
        # Groups whose last process the kernel has not let go of yet.
        self._late: list[Any] = []

    def reserve(self, memory_mb: int, *, once: bool = False) -> Any:
        """Return a group for one process; None where groups cannot be made.

        `once` when its doors go to a process that has run user code.
        """
        try:
            return self._groups.acquire(memory_mb, _PROCESSES, once=once)
        except OSError as error:
            _log.warning("there is no control group: %s", error)
            return None

    def doors(self, group: Any) -> list[int]:
        """Return descriptors by which a process can join the group by itself; the caller closes them."""
        with contextlib.suppress(OSError):
            return list(group.doors()) if group is not None else []
        return []

    def place(self, group: Any, pid: int) -> Any:
        """Move a process into a reserved group unless it went there by itself.

        Returns the group; None, with the group given back, when the process is not in it.
        """
        try:
            if group is not None and not group.holds(pid):
                group.add(pid)
        except OSError as error:
            _log.warning("process %d has no control group: %s", pid, error)
            self.release(group)
            return None
        return group

    def adopt(self, pid: int, *, once: bool) -> Any:
        """Find the group of a process from before a restart; `once` as in `reserve`."""
        try:
            group = self._groups.of_process(pid)
        except OSError:
            return None
        if group is not None:
            group.once = once
        return group

    def peak_mb(self, group: Any) -> float:
        """Return the highest memory use so far, 0 when unknown."""
        with contextlib.suppress(OSError, ValueError):
            return float(group.peak()) / (1 << 20)
        return 0.0

    def out_of_memory(self, group: Any) -> bool:
        """Say whether the kernel killed in this group for lack of memory."""
        with contextlib.suppress(OSError, ValueError):
            return int(group.out_of_memory_kills()) > 0
        return False

    def release(self, group: Any) -> None:
        """End what is left in the group and give it back, now or with a later one."""
        self._late.append(group)
        late, self._late = self._late, []
        for candidate in late:
            if not self._released(candidate):
                self._late.append(candidate)

    def sweep(self) -> None:
        """Remove what a host that was killed left; call it when its living instances are placed."""
        with contextlib.suppress(OSError):
            self._groups.sweep()

    def close(self) -> None:
        """Remove every group that is empty."""
        for group in self._late:
            self._released(group)
        with contextlib.suppress(OSError):
            self._groups.close()

    def _released(self, group: Any) -> bool:
        try:
            if group.members():
                group.kill()
                return False
            return bool(self._groups.release(group))
        except OSError:
            return False
