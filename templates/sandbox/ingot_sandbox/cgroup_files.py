"""Where the cgroup controllers are and how their files are named, v1 and v2 apart.

Reads and writes single files; policy and lifetimes are in `cgroups`.
"""

from __future__ import annotations

import os

__all__ = [
    "child",
    "forget",
    "homes",
    "limit_memory",
    "number",
    "occupied",
    "out_of_memory_kills",
    "read",
    "write",
]

_CONTROLLERS = ("memory", "pids")


def read(path: str) -> str:
    """Return a small file's text."""
    with open(path) as file:
        return file.read()


def write(path: str, text: str) -> None:
    """Write a value in one call, as these files need."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def homes() -> tuple[int, dict[str, str]]:
    """Return the version and this process's own folder for each controller that there is."""
    own = {}
    for line in read("/proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            own[name] = path
    found: dict[str, str] = {}
    unified = ""
    for line in read("/proc/self/mountinfo").splitlines():
        fields, _, rest = line.partition(" - ")
        root, target = fields.split()[3:5]
        kind, _, options = rest.split()[:3]
        if kind == "cgroup":
            for name in set(_CONTROLLERS) & set(options.split(",")):
                found[name] = _below(target, root, own.get(name, "/"))
        elif kind == "cgroup2":
            unified = _below(target, root, own.get("", "/"))
    if found:
        return 1, found
    if unified:
        available = read(f"{unified}/cgroup.controllers").split()
        return 2, {name: unified for name in _CONTROLLERS if name in available}
    raise FileNotFoundError(2, "no cgroup file system is mounted")


def _below(target: str, root: str, path: str) -> str:
    # In a container the mount's root is itself a group; paths may be given from the machine's root.
    if root != "/" and path.startswith(root):
        path = path[len(root) :]
    return (target + path).rstrip("/")


def child(home: str, name: str, version: int) -> str:
    """Make (or find) the folder `name` in `home`, whose own children can be limited."""
    if version == 2:
        _delegate(home)
    folder = f"{home}/{name}"
    os.makedirs(folder, exist_ok=True)
    try:
        if version == 2:
            _delegate(folder)
    except OSError:
        os.rmdir(folder)
        raise
    return folder


def _delegate(folder: str) -> None:
    """Let children use the controllers. In v2 that fails while a process is in the folder itself."""
    wanted = set(_CONTROLLERS) & set(read(f"{folder}/cgroup.controllers").split())
    missing = wanted - set(read(f"{folder}/cgroup.subtree_control").split())
    if missing:
        write(f"{folder}/cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(missing)))


def limit_memory(folder: str, version: int, limit: int) -> None:
    """Set the memory limit of an empty group; its processes die together in v2."""
    if version == 2:
        write(f"{folder}/memory.max", str(limit))
        _write_if_there(f"{folder}/memory.swap.max", "0")
        _write_if_there(f"{folder}/memory.oom.group", "1")
        return
    swap = f"{folder}/memory.memsw.limit_in_bytes"
    # The sum with swap may never be below the limit, so raise it first and lower it last.
    _write_if_there(swap, "-1")
    write(f"{folder}/memory.limit_in_bytes", str(limit))
    _write_if_there(swap, str(limit))


def _write_if_there(path: str, text: str) -> None:
    if os.path.exists(path):
        write(path, text)


def number(folder: str, name_v1: str, name_v2: str, version: int) -> int:
    """Return a number in a file, 0 where the folder or the file does not exist."""
    try:
        return int(read(f"{folder}/{name_v2 if version == 2 else name_v1}")) if folder else 0
    except FileNotFoundError:
        return 0


def out_of_memory_kills(folder: str, version: int) -> int:
    """Return the group's count of out-of-memory kills."""
    if not folder:
        return 0
    for line in read(f"{folder}/{'memory.events' if version == 2 else 'memory.oom_control'}").splitlines():
        name, value = line.split()
        if name == "oom_kill":
            return int(value)
    return 0


def forget(folder: str, version: int) -> bool:
    """Reset the peak and drop what is still charged, for the next user; False where that is impossible.

    v2 cannot reset a peak for all readers and neither version resets the count
    of kills, so a group that saw one is not used again.
    """
    if version == 2 or out_of_memory_kills(folder, version):
        return False
    if folder:
        write(f"{folder}/memory.force_empty", "0")
        write(f"{folder}/memory.max_usage_in_bytes", "0")
    return True


def occupied(folder: str) -> bool:
    """Say whether processes are in the group."""
    try:
        return bool(read(f"{folder}/cgroup.procs").strip())
    except OSError:
        return False
