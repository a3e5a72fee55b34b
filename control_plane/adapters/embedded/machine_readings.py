"""Reads how the machine does: processor, memory, load and disk, from /proc and the file system.

One reading is a few small files; nothing here remembers more than the reading before.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["MachineReadings"]

_MB = 2**20


class MachineReadings:
    """What the whole machine has and uses; the processor's use is since the reading before."""

    def __init__(self, folder: Path, proc: Path = Path("/proc")) -> None:
        self._folder = folder
        self._proc = proc
        self._ticks: tuple[int, int] | None = None

    def __call__(self) -> dict[str, float]:
        """Return the readings by name; the first one has no use of the processor. Raises OSError."""
        memory = self._memory()
        disk = shutil.disk_usage(self._folder)
        return {
            **self._processor(),
            "load": os.getloadavg()[0],
            "memory_used_mb": (memory["MemTotal"] - memory["MemAvailable"]) / 1024,
            "memory_total_mb": memory["MemTotal"] / 1024,
            "disk_used_mb": disk.used / _MB,
            "disk_total_mb": disk.total / _MB,
        }

    def _processor(self) -> dict[str, float]:
        first = (self._proc / "stat").read_text().split("\n", 1)[0].split()
        # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
        ticks = [int(word) for word in first[1:9]]
        busy, total = sum(ticks) - ticks[3] - ticks[4], sum(ticks)
        before, self._ticks = self._ticks, (busy, total)
        if before is None or total <= before[1]:
            return {}
        return {"cpu_percent": 100 * (busy - before[0]) / (total - before[1])}

    def _memory(self) -> dict[str, int]:
        found = {}
        for line in (self._proc / "meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in {"MemTotal", "MemAvailable"}:
                found[name] = int(rest.split()[0])
        if len(found) != 2:
            raise OSError("/proc/meminfo names no total or no available memory")
        return found
