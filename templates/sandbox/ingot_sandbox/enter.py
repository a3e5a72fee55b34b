"""Start one sandboxed instance from a template of either level: the hot path of a cold start.

No import happens after the fork and every filter is already assembled. The
order of the steps is the security argument; see docs/isolation.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial

from ingot_sandbox import confine, kernel, landlock, seccomp, view, world
from ingot_sandbox.base import Base
from ingot_sandbox.spec import LANDLOCK, NAMESPACES, SandboxSpec

__all__ = ["fork_orphan", "reap", "spawn_instance"]

_FAILED = 70
_INSTANCE = kernel.NEW_MOUNTS | kernel.NEW_IPC | kernel.NEW_PIDS | kernel.NEW_NET | kernel.NEW_UTS


def spawn_instance(base: Base, spec: SandboxSpec) -> bool:
    """Fork; return True in the new, completely confined process and False in the template.

    The instance is an orphan: the nearest subreaper (the supervisor) reaps it,
    except below a level-2 template, whose own init does. If confinement fails
    in the child, it writes {"event":"failed","code":"isolation_unavailable",
    "message":...} to `spec.status` and exits with 70; it never returns.
    """
    confine.check_ids(base, spec)
    if base.nested and base.level == NAMESPACES:
        return _fork_nested(base, spec)
    if base.level == NAMESPACES:
        return fork_orphan(spec, partial(_unshare_and_join, spec), partial(_enter_namespaces, base, spec))
    # Asked before the fork: below a warm template's rules an instance sees no /proc.
    inherited = confine.data_in_use(spec)
    return fork_orphan(spec, partial(_join, spec), partial(_enter_landlock, base, spec, inherited))


def _unshare_and_join(spec: SandboxSpec) -> None:
    kernel.unshare(_INSTANCE)
    _join(spec)


def _join(spec: SandboxSpec) -> None:
    """Move this process, which has one thread, into its groups; the host looks whether it did."""
    for door in spec.groups:
        # A door of a group that is gone says so; the host then knows more than we do.
        with contextlib.suppress(OSError):
            os.write(door, b"0")


def fork_orphan(spec: SandboxSpec, between: Callable[[], None], inside: Callable[[int], None]) -> bool:
    """Fork twice and leave the second child an orphan, which gets a pidfd of the first for `inside`."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return False
    try:
        between()
        parent = os.pidfd_open(os.getpid())
        if os.fork():
            os._exit(0)
        inside(parent)
    except BaseException as error:
        confine.report_failure(spec, error)
        os._exit(_FAILED)
    return True


def _fork_nested(base: Base, spec: SandboxSpec) -> bool:
    """Start an instance from a level-2 template with a single fork of its large memory."""
    reap()
    kernel.unshare(kernel.NEW_PIDS)
    child = -1
    try:
        child = os.fork()
    finally:
        # Only the template goes back, also when the fork failed.
        if child:
            kernel.set_namespace(base.pid_namespace, kernel.NEW_PIDS)
    if child:
        return False
    try:
        _join(spec)
        kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_IPC)
        world.mount_tmp(spec)
        view.mount_proc(b"/proc")
        _finish(base, spec, inherited=confine.data_in_use(spec))
    except BaseException as error:
        confine.report_failure(spec, error)
        os._exit(_FAILED)
    return True


def reap() -> None:
    """Collect instances of this template that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def _enter_namespaces(base: Base, spec: SandboxSpec, parent: int) -> None:
    world.mount_layers(base, spec)
    world.mount_tmp(spec)
    view.mount_proc(b"/proc")
    inherited = confine.data_in_use(spec)
    confine.become_user(spec)
    confine.signal_on_death_of_subreaper(parent, spec.death_signal)
    _finish(base, spec, inherited)


def _enter_landlock(base: Base, spec: SandboxSpec, inherited: int, parent: int) -> None:
    confine.become_user(spec)
    confine.signal_on_death_of_subreaper(parent, spec.death_signal)
    if base.level == LANDLOCK:
        landlock.restrict(base.landlock_abi, world.landlock_rules(base, spec, show_self=not base.nested))
    _finish(base, spec, inherited)


def _finish(base: Base, spec: SandboxSpec, inherited: int) -> None:
    """The steps that every instance ends with; afterwards it is user code's process."""
    confine.keep_descriptors(base, spec)
    confine.limit(base, spec, inherited)
    confine.settle(base, spec)
    confine.undumpable()
    if base.final_filter is not None:
        kernel.set_capabilities(0)
        seccomp.install(base.final_filter, spec.listener, os.getpid())
