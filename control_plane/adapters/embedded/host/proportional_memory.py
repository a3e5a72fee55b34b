"""How much memory a process costs, shared pages counted by their share."""

from __future__ import annotations

from pathlib import Path

__all__ = ["proportional_mb"]


def proportional_mb(pid: int) -> float:
    """Return the proportional set size in MB, 0 when it cannot be read."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
