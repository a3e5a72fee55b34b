"""Memory and process limits by child groups of this process's own cgroup, v1 or v2."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Group", "Groups", "memory_of"]


@dataclass(slots=True)
class Group:
    """One child group; reusable after `empty()`."""

    name: str
    folders: dict[str, str]


class Groups:
    """All groups of one host process, below one folder of its own cgroup."""

    def __init__(self, name: str) -> None:
        """`name` is `ingot-<id>`; nothing is created yet. `memory` and `pids` say what is limited."""
        self.name = name
        self.memory = False
        self.pids = False


def memory_of(pid: int) -> int:
    """Return the bytes of private memory (anonymous and shared-memory pages) of one process."""
    raise NotImplementedError
