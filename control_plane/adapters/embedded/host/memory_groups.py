"""Control groups of instances, by the sandbox package; or none where they cannot be made."""

from __future__ import annotations

from typing import Any

__all__ = ["NoGroups"]


class NoGroups:
    """No group can be made here: limits are resource limits, peaks come from the reaper."""

    limited = False

    def place(self, pid: int, memory_mb: int) -> Any:
        """Return None."""
        return None

    def adopt(self, pid: int) -> Any:
        """Return None."""
        return None

    def peak_mb(self, group: Any) -> float:
        """Return 0."""
        return 0.0

    def out_of_memory(self, group: Any) -> bool:
        """Return False."""
        return False

    def release(self, group: Any) -> None:
        """Do nothing."""
