"""What importing user code left behind that a fork would share or lose.

A warm template with leftovers is not used. This is for correctness, not for
security: it runs beside the code that it looks at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

__all__ = ["leftovers"]


def leftovers(known: Iterable[int]) -> list[str]:
    """Return a sentence for each thread, child, descriptor or shared memory that is not the template's.

    `known` are the descriptors that the template itself holds.
    """
    return [*_threads(), *_children(), *_descriptors(frozenset(known) | {0, 1, 2}), *_shared_memory()]


def _threads() -> list[str]:
    count = len(os.listdir("/proc/self/task")) - 1
    return [f"the import left {count} thread(s) running, which a fork does not copy"] if count else []


def _children() -> list[str]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            count = len(file.read().split())
    except FileNotFoundError:
        # The kernel was built without this file.
        return []
    return [f"the import left {count} child process(es) running"] if count else []


def _descriptors(known: frozenset[int]) -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor in known:
            continue
        try:
            kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            # The listing's own descriptor is closed by now.
            continue
        # Read-only files and folders are harmless, though their position is shared.
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFCHR):
            found.append(f"the import left descriptor {name} open ({target}), which instances do not get")
    return found


def _shared_memory() -> list[str]:
    with open("/proc/self/maps") as maps:
        shared = [line.split(None, 5) for line in maps if line.split(None, 2)[1][1:4:2] == "ws"]
    names = sorted({fields[5].strip() if len(fields) > 5 else "anonymous" for fields in shared})
    return [f"the import left writable memory that forks would share ({', '.join(names)})"] if shared else []
