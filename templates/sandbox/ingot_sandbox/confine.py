"""The last steps of every sandboxed process: descriptors, environment, ids, limits, capabilities.

Order matters and is the caller's; each function here does one of the steps.
Runs after a fork, so it imports nothing and touches little.
"""

from __future__ import annotations

import json
import os
import resource
import select

from ingot_sandbox import kernel
from ingot_sandbox.base import Base
from ingot_sandbox.spec import NAMESPACES, SandboxSpec

__all__ = [
    "become_user",
    "check_ids",
    "data_in_use",
    "keep_descriptors",
    "limit",
    "report_failure",
    "settle",
    "signal_on_death_of_subreaper",
    "undumpable",
]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_PAGE = resource.getpagesize()
# Tasks that the same user may start later without taking a function's own.
_SIBLINGS = 1024


def check_ids(base: Base, spec: SandboxSpec) -> None:
    """Refuse ids that this template cannot give, rather than run as someone else."""
    if spec.uid >= 0 and spec.uid != os.geteuid() and os.geteuid() != 0:
        raise PermissionError(1, f"only root can run a function as uid {spec.uid}")
    if base.privileged and spec.uid <= 0:
        raise PermissionError(1, "a function never runs as root: give its sandbox a uid above 0")


def become_user(spec: SandboxSpec) -> None:
    """Change to the spec's ids with no other groups."""
    if spec.uid < 0 or os.geteuid() != 0:
        return
    gid = spec.gid if spec.gid >= 0 else spec.uid
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(spec.uid, spec.uid, spec.uid)


def undumpable(yes: bool = True) -> None:
    """Forbid (or allow) other processes of the same user to look into this one; forbids core dumps too."""
    kernel.prctl(_PR_SET_DUMPABLE, 0 if yes else 1)


def keep_descriptors(base: Base, spec: SandboxSpec, also: tuple[int, ...] = ()) -> None:
    """Close all but the spec's descriptors; 0 is /dev/null, 1 and 2 are the output."""
    output = spec.output if spec.output >= 0 else base.null
    os.dup2(base.null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    given = tuple(fd for fd in (*spec.descriptors, spec.listener, spec.status, spec.output) if fd >= 0)
    kernel.close_others((0, 1, 2, *given, *also))


def settle(base: Base, spec: SandboxSpec) -> None:
    """Start in the writable folder; the environment was emptied in `base.prepare`."""
    tmp = base.tmp_path(spec)
    if base.level != NAMESPACES:
        os.environ["HOME"] = os.environ["TMPDIR"] = tmp
    os.chdir(tmp)
    os.umask(0o077)


def limit(base: Base, spec: SandboxSpec, inherited: int) -> None:
    """Set resource limits, hard ones included; never above what is already the hard limit."""
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_NOFILE, spec.open_files)
    _set(resource.RLIMIT_NPROC, spec.processes + _others(base, spec))
    # Without a mount of its own this is all that bounds what one file takes of the disk.
    _set(resource.RLIMIT_FSIZE, spec.tmp_mb << 20)
    _set(resource.RLIMIT_MEMLOCK, 64 << 10)
    _set(resource.RLIMIT_MSGQUEUE, 64 << 10)
    if spec.data_mb:
        _set(resource.RLIMIT_DATA, inherited + (spec.data_mb << 20))


def data_in_use(spec: SandboxSpec) -> int:
    """Return the bytes that the kernel counts against a data limit now; 0 where there will be none."""
    if not spec.data_mb:
        return 0
    descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(descriptor, 200).split()[5]) * _PAGE
    finally:
        os.close(descriptor)


def _others(base: Base, spec: SandboxSpec) -> int:
    """Return room for what the same user runs beside this process, which the kernel counts too.

    Only level landlock of an ordinary user shares that count, with the person's
    whole session; elsewhere a function has a user id or a user namespace of its own.
    """
    if spec.uid >= 0 or base.level == NAMESPACES:
        return 0
    return kernel.tasks() + _SIBLINGS


def _set(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def signal_on_death_of_subreaper(parent_pidfd: int, signal_number: int) -> None:
    """Ask for a signal when the adopting process dies, once the forking one is gone.

    Set earlier, the signal would come from the intermediate's own exit. The
    pidfd becomes readable after the kernel has given its children away.
    """
    poll = select.poll()
    poll.register(parent_pidfd, select.POLLIN)
    poll.poll(2000)
    os.close(parent_pidfd)
    if signal_number:
        kernel.prctl(_PR_SET_PDEATHSIG, signal_number)


def report_failure(spec: SandboxSpec, error: BaseException) -> None:
    """Write why confinement failed to the status descriptor, in the template protocol's words."""
    if spec.status < 0:
        return
    message = f"the sandbox cannot be set up: {error}"
    line = json.dumps({"event": "failed", "code": "isolation_unavailable", "message": message})
    try:
        os.write(spec.status, line.encode())
    except OSError:
        # Nobody listens any more; the exit status still tells.
        return
