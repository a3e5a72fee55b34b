"""Memory and process limits by child groups of this process's own cgroup, v1 or v2.

Used by the function host, not inside the sandbox. Groups that existed before
are never touched. `cgroup_files` knows where things are; here is what is done.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field

from ingot_sandbox import cgroup_files

__all__ = ["Group", "Groups"]

_REMOVE_WITHIN_S = 2.0
_KEPT_FREE = 16


@dataclass(slots=True)
class Group:
    """One child group: a folder for each controller (one and the same in v2)."""

    name: str
    version: int
    memory: str = ""
    pids: str = ""
    # For one process only: others than the host may still be able to join it.
    once: bool = False

    def folders(self) -> list[str]:
        """Return its folders, each once."""
        return [folder for folder in dict.fromkeys((self.memory, self.pids)) if folder]

    def add(self, pid: int) -> None:
        """Move a process (all its threads) into the group."""
        for folder in self.folders():
            cgroup_files.write(f"{folder}/cgroup.procs", str(pid))

    def doors(self) -> list[int]:
        """Return descriptors by which a process can join by itself, as `enter` does; the caller closes them.

        A process of one thread that moves itself does not have to wait for the
        kernel's grace period, which costs whoever moves another 10 ms and more
        on a quiet machine. v2 has no such way.
        """
        if self.version == 2:
            return []
        return [os.open(f"{folder}/tasks", os.O_WRONLY | os.O_CLOEXEC) for folder in self.folders()]

    def holds(self, pid: int) -> bool:
        """Say whether a process is in the group, for every controller that there is."""
        lines = cgroup_files.read(f"/proc/{pid}/cgroup").splitlines()
        # Every controller's folder has the same name below the common one.
        end = "/" + "/".join(self.folders()[0].split("/")[-2:])
        return sum(line.endswith(end) for line in lines) >= len(self.folders())

    def members(self) -> list[int]:
        """Return the processes in the group."""
        return [int(line) for line in cgroup_files.read(f"{self.folders()[0]}/cgroup.procs").split()]

    def limit(self, memory_mb: int, processes: int) -> None:
        """Set the limits; a memory limit includes swap where the kernel counts it."""
        if self.memory:
            cgroup_files.limit_memory(self.memory, self.version, memory_mb << 20)
        if self.pids:
            cgroup_files.write(f"{self.pids}/pids.max", str(processes))

    def peak(self) -> int:
        """Return the most memory used so far, in bytes; 0 where the kernel does not say."""
        return cgroup_files.number(self.memory, "memory.max_usage_in_bytes", "memory.peak", self.version)

    def current(self) -> int:
        """Return the memory in use, in bytes; 0 where memory is not counted."""
        return cgroup_files.number(self.memory, "memory.usage_in_bytes", "memory.current", self.version)

    def out_of_memory_kills(self) -> int:
        """Return how many processes the kernel killed for the memory limit."""
        return cgroup_files.out_of_memory_kills(self.memory, self.version)

    def kill(self) -> None:
        """Kill every process in the group; repeats until a fork bomb has no member left."""
        if self.version == 2:
            with contextlib.suppress(OSError):
                cgroup_files.write(f"{self.folders()[0]}/cgroup.kill", "1")
                return
        end = time.monotonic() + _REMOVE_WITHIN_S
        while (members := self.members()) and time.monotonic() < end:
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@dataclass(slots=True)
class Groups:
    """All groups of one host process, below one folder `name` (`ingot-<id>`) of its own cgroup."""

    name: str
    version: int = 0
    memory: bool = False
    pids: bool = False
    why: str = ""
    _top: Group = field(init=False)
    _free: list[Group] = field(default_factory=list)
    _made: int = 0

    def __post_init__(self) -> None:
        """Make the common folder for each controller that can be used."""
        self._top = Group(self.name, 0)
        try:
            self.version, homes = cgroup_files.homes()
        except OSError as error:
            self.why = str(error)
            return
        self._top.version = self.version
        for controller, home in homes.items():
            try:
                setattr(self._top, controller, cgroup_files.child(home, self.name, self.version))
            except OSError as error:
                self.why = f"{home}: {error.strerror}"
        self.memory, self.pids = bool(self._top.memory), bool(self._top.pids)

    def explain(self) -> list[tuple[str, bool, str]]:
        """Return (fact, holds, sentence) for `ingot doctor`."""
        memory = "Each instance's memory is limited by a cgroup of its own."
        fallback = f"No memory cgroup can be made ({self.why}): a data limit and the host's watch stand in."
        counted = "Each instance's processes and threads are limited by a cgroup of its own."
        shared = f"No pids cgroup can be made ({self.why}): a limit for each user or template stands in."
        return [
            ("cgroup_memory", self.memory, memory if self.memory else fallback),
            ("cgroup_pids", self.pids, counted if self.pids else shared),
        ]

    def acquire(self, memory_mb: int, processes: int, *, once: bool = False) -> Group | None:
        """Return an empty group with these limits, or None where no controller can be used.

        `once` is for a group whose doors go to a process that has run user code: it is not used again.
        """
        if not self._top.folders():
            return None
        group = self._free.pop() if self._free else self._new()
        group.once = once
        group.limit(memory_mb, processes)
        return group

    def release(self, group: Group) -> bool:
        """Give back a group whose processes have ended; False if some are left (kill and try again)."""
        if group.members():
            return False
        kept = len(self._free) < _KEPT_FREE
        if kept and not group.once and cgroup_files.forget(group.memory, group.version):
            self._free.append(group)
            return True
        removed = [_removed_now(folder) for folder in group.folders()]
        if not all(removed):
            return False
        if kept:
            # Made now, when nobody waits for it.
            self._free.append(self._new())
        return True

    def of_process(self, pid: int) -> Group | None:
        """Return the group of a process that an earlier host placed, to adopt it again."""
        for line in cgroup_files.read(f"/proc/{pid}/cgroup").splitlines():
            parts = line.split(":", 2)[2].split("/")
            if self.name in parts[:-1]:
                name = parts[parts.index(self.name) + 1]
                return Group(name, self.version, *self._folders(name))
        return None

    def sweep(self) -> None:
        """Remove, without waiting, what groups of this name a killed host left empty; before any is made."""
        for folder in self._subfolders():
            # Still occupied, or its last process is not reaped yet: `close` tries again.
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def close(self) -> None:
        """Remove every empty group of this host and the common folder; occupied ones stay."""
        self._free.clear()
        for folder in self._subfolders():
            _remove_folder(folder)
        _remove(self._top)

    def _subfolders(self) -> list[str]:
        found = (f"{folder}/{name}" for folder in self._top.folders() for name in sorted(os.listdir(folder)))
        return [path for path in found if os.path.isdir(path)]

    def _folders(self, name: str) -> tuple[str, str]:
        top = self._top
        return (f"{top.memory}/{name}" if top.memory else "", f"{top.pids}/{name}" if top.pids else "")

    def _new(self) -> Group:
        while True:
            self._made += 1
            group = Group(f"i{self._made}", self.version, *self._folders(f"i{self._made}"))
            try:
                for folder in group.folders():
                    os.mkdir(folder)
            except FileExistsError:
                # Left by an earlier host of this name whose instances still run.
                continue
            return group


def _remove(group: Group) -> bool:
    removed = [_remove_folder(folder) for folder in group.folders()]
    return all(removed)


def _remove_folder(folder: str) -> bool:
    # The kernel empties a group a moment after the last process was reaped.
    end = time.monotonic() + _REMOVE_WITHIN_S
    while not _removed_now(folder):
        if cgroup_files.occupied(folder) or time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def _removed_now(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
