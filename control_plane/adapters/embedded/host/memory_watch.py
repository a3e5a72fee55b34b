"""Looks at the memory of instances where no memory group limits it.

A data limit stops most of what one process takes; this sees the rest: shared
memory, and what all processes of an instance hold together.
"""

from __future__ import annotations

import importlib
from typing import Any

from control_plane.adapters.embedded.host.instance import Instance
from control_plane.adapters.embedded.host.machine import Machine

__all__ = ["MemoryWatch"]


class MemoryWatch:
    """Says which instances use more than their limit."""

    def __init__(self, machine: Machine) -> None:
        # The sandbox package was put on the path by the memory groups.
        self._processes: Any = importlib.import_module("ingot_sandbox.process_memory")
        self.needed = not machine.groups.limited
        self._family = machine.config.isolation != "landlock"

    def over_limit(self, instance: Instance) -> bool:
        """Say whether the instance must end; remembers the most it was seen to use."""
        if not self.needed or not instance.pid:
            return False
        limit = instance.wanted.limits.memory_mb << 20
        # At level landlock there are no new processes.
        used = (
            self._processes.memory_of_family(instance.pid, limit)
            if self._family
            else self._processes.memory_of(instance.pid)
        )
        instance.peak_mb = max(instance.peak_mb, used / (1 << 20))
        return bool(used > limit)
