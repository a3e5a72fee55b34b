"""How much memory a process costs, shared pages counted by their share."""

from __future__ import annotations

from pathlib import Path

__all__ = ["proportional_mb"]


def proportional_mb(pid: int) -> float:
    """Return the proportional set size in MB; private pages alone where it may not be read."""
    for name, words in (("smaps_rollup", ("Pss:",)), ("status", ("RssAnon:", "RssShmem:"))):
        try:
            lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
        except OSError:
            # Only root may look at the pages of a process that is not dumpable.
            continue
        return sum(int(line.split()[1]) for line in lines if line.startswith(words)) / 1024
    return 0.0
