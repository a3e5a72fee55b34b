"""The world that every sandboxed process of one runtime shares, prepared once in a level-1 template.

What is slow and the same for all instances happens here, so that `enter` has
little left to do. Runs before any user code.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from ingot_sandbox import bpf, kernel, landlock, seccomp, view
from ingot_sandbox.spec import ENVIRONMENT, LANDLOCK, NAMESPACES, IsolationUnavailable, SandboxSpec

__all__ = ["Base", "prepare", "unshare_with_user"]

# What a root template keeps: to read layers, to become a function's user, to
# empty the bounding set and to mount.
_DAC_READ_SEARCH, _SETGID, _SETUID, _SETPCAP, SYS_ADMIN = 2, 6, 7, 8, 21
_TEMPLATE_CAPABILITIES = sum(1 << bit for bit in (_DAC_READ_SEARCH, _SETGID, _SETUID, _SETPCAP, SYS_ADMIN))
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(slots=True)
class Base:
    """Handle of a prepared process; pass it to `enter` and `become`."""

    level: str
    # The interpreter as a path that exists inside the sandbox; put it in sys.executable.
    executable: str
    roots: tuple[str, ...]
    null: int
    # Root with the right to mount, so instances get uids of their own.
    privileged: bool = False
    # True in a level-2 template.
    nested: bool = False
    # The host's /proc, for the user maps of children; -1 at level landlock.
    proc: int = -1
    # A level-2 template's own pid namespace, the way back after starting an instance.
    pid_namespace: int = -1
    landlock_abi: int = 0
    # (descriptor, rights) of what every instance may reach, level landlock.
    rules: list[tuple[int, int]] = field(default_factory=list)
    final_filter: bpf.Program | None = None
    template_filter: bpf.Program | None = None

    def layer_path(self, spec: SandboxSpec, name: str) -> str:
        """Return where user code finds the layer `name` of this spec."""
        return f"/{name}" if self.level == NAMESPACES else spec.layers[name]

    def tmp_path(self, spec: SandboxSpec) -> str:
        """Return the one folder that user code can write."""
        return "/tmp" if self.level == NAMESPACES else spec.tmp_folder or "/tmp"

    def own_descriptors(self) -> tuple[int, ...]:
        """Return what a level-2 template must keep open to start instances."""
        held = (self.null, self.pid_namespace, *(descriptor for descriptor, _ in self.rules))
        return tuple(descriptor for descriptor in held if descriptor >= 0)


def prepare(
    level: str,
    roots: Sequence[str],
    readable: Sequence[str] = (),
    uids: range = range(0),
) -> Base:
    """Confine this (trusted, single-threaded) template and build the shared read-only view.

    `roots` hold the layers of all functions (`.ingot/layers`, the bytecode
    cache); user code sees only the layers named in its spec. `readable`
    folders (shim, validator, this package) stay at their own paths, for all.
    `uids` are those that instances may get, for `/etc/passwd`. Afterwards, at
    level namespaces, the process itself sees nothing else of the host's files.
    """
    _forget_environment()
    _prefer_as_victim()
    base = Base(level, view.executable(), tuple(os.path.abspath(root) for root in roots), _open_null())
    if level == NAMESPACES:
        _prepare_namespaces(base, readable, uids)
    elif level == LANDLOCK:
        _prepare_landlock(base, readable)
    else:
        return base
    base.final_filter = seccomp.instance_filter(level)
    base.template_filter = seccomp.template_filter(level)
    sys.executable = base.executable
    # Objects that no collection touches stay shared with the instances.
    gc.freeze()
    return base


def _open_null() -> int:
    return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)


def _prepare_namespaces(base: Base, readable: Sequence[str], uids: range) -> None:
    base.privileged = os.geteuid() == 0 and bool(_effective_capabilities() >> SYS_ADMIN & 1)
    base.proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    try:
        if base.privileged:
            kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_UTS)
        else:
            unshare_with_user(base.proc, kernel.NEW_MOUNTS | kernel.NEW_UTS)
        kernel.mount(None, b"/", None, kernel.PRIVATE | kernel.RECURSIVE)
        staging = next(path for path in ("/tmp", "/mnt", "/var", "/usr") if os.path.isdir(path))
        previous = os.umask(0o022)
        view.build(staging, base.roots, readable, uids)
        os.umask(previous)
        kernel.pivot(staging)
        _set_host_name(b"function")
    except OSError as error:
        raise IsolationUnavailable(f"level namespaces is not available: {error.strerror or error}") from error
    kernel.drop_bounding()
    if base.privileged:
        kernel.set_capabilities(_TEMPLATE_CAPABILITIES)
    kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _set_host_name(name: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sethostname(name, len(name)) < 0:
        raise OSError(ctypes.get_errno(), "sethostname")


def _prepare_landlock(base: Base, readable: Sequence[str]) -> None:
    base.landlock_abi = landlock.abi()
    if base.landlock_abi < 1:
        raise IsolationUnavailable(
            "level landlock is not available: this kernel has no Landlock (Linux 5.13 or newer, "
            "built and started with it)"
        )
    folders = [*view.library_folders(), *readable]
    for path in dict.fromkeys([*folders, *view.support_paths(), base.executable]):
        rights = landlock.READ if os.path.isdir(path) else landlock.READ_FILE | 1
        base.rules.append((os.open(path, os.O_PATH | os.O_CLOEXEC), rights))
    for name in ("null", "zero", "full", "random", "urandom"):
        descriptor = os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC)
        base.rules.append((descriptor, landlock.READ_FILE | landlock.WRITE_FILE))


def _effective_capabilities() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))


def unshare_with_user(proc: int, flags: int) -> None:
    """Enter new namespaces owned by a new user namespace, in which this user keeps its own ids."""
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.NEW_USER | flags)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        descriptor = os.open(f"self/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _prefer_as_victim() -> None:
    # Inherited by every instance. A template is cheap to start again, the host is not.
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _forget_environment() -> None:
    """Leave the documented minimum in the environment; wipe the block that exec left on the stack."""
    libc = ctypes.CDLL(None)
    os.environ.clear()
    libc.clearenv()
    with open("/proc/self/stat", "rb") as stat:
        # Fields 50 and 51 of the line, counted behind the name in parentheses.
        fields = stat.read().rpartition(b")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)
    os.environ.update(ENVIRONMENT)
