"""How much memory processes hold, for a host that can make no memory cgroup.

Reads /proc from outside of the sandbox and believes nothing that a process says.
"""

from __future__ import annotations

import contextlib
import os

__all__ = ["memory_of", "memory_of_family"]

# More than a function may have; a bound for one look, not a limit.
_MOST_PROCESSES = 256


def memory_of(pid: int) -> int:
    """Return the bytes of private memory of one process: anonymous, shared-memory and swapped pages.

    Pages shared with the template since the fork count too, as the function's
    author would count them. 0 if the process has ended.
    """
    total = 0
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith(("RssAnon:", "RssShmem:", "VmSwap:")):
                total += int(line.split()[1]) << 10
    return total


def memory_of_family(pid: int, beyond: int) -> int:
    """Return the bytes of a process and all its descendants; stops counting once above `beyond`.

    In a process number space of its own the first process inherits every
    orphan, so none can leave the family. Pages that a fork shares with its
    parent count in both: guessing which are shared could be played with.
    """
    total, seen, waiting = 0, {pid}, [pid]
    while waiting and total <= beyond and len(seen) <= _MOST_PROCESSES:
        member = waiting.pop()
        total += memory_of(member)
        found = _children(member) - seen
        seen |= found
        waiting += found
    return total


def _children(pid: int) -> set[int]:
    """Return what the threads of a process have forked; none where the kernel does not list it."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as children:
                found |= {int(child) for child in children.read().split()}
    return found
