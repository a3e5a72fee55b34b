"""Turn a fork of a level-1 template into a confined level-2 template, which imports user code.

At level namespaces it gets a pid namespace with a small init in it. The init
outlives the template for as long as instances run, and keeps the template from
being pid 1: libraries that notice a fork by a changed pid (OpenSSL's random
generator) must see template and instance, which is pid 1, differ.
"""

from __future__ import annotations

import os
import signal
from functools import partial

from ingot_sandbox import confine, enter, kernel, landlock, seccomp, view, world
from ingot_sandbox.base import SYS_ADMIN, Base, unshare_with_user
from ingot_sandbox.spec import LANDLOCK, NAMESPACES, IsolationUnavailable, SandboxSpec

__all__ = ["become_template"]

_OUTER = kernel.NEW_MOUNTS
_INNER = kernel.NEW_MOUNTS | kernel.NEW_PIDS | kernel.NEW_IPC | kernel.NEW_NET | kernel.NEW_UTS


def become_template(base: Base, spec: SandboxSpec) -> bool:
    """Fork; return True in the level-2 template and False in the level-1 template.

    In the level-2 template `base` is changed in place: the next
    `spawn_instance(base, spec)` there starts an instance with namespaces, /tmp
    and process ids of its own, and the same layers.
    """
    confine.check_ids(base, spec)
    if base.level == NAMESPACES:
        return enter.fork_orphan(spec, partial(_own_world, base, spec), partial(_with_init, base, spec))
    if base.level == LANDLOCK and base.landlock_abi < landlock.SCOPES_SINCE:
        # Its filter cannot name the instances' own numbers, so signals need Landlock's scope.
        raise IsolationUnavailable(
            f"level-2 templates at level landlock need Landlock ABI {landlock.SCOPES_SINCE}, "
            f"this kernel has {base.landlock_abi}: use level-1 templates only"
        )
    return enter.fork_orphan(spec, _nothing, partial(_enter_landlock, base, spec))


def _nothing() -> None:
    """Levels without namespaces need no step between the two forks."""


def _own_world(base: Base, spec: SandboxSpec) -> None:
    kernel.unshare(_OUTER)
    world.mount_layers(base, spec)
    world.mount_tmp(spec)
    confine.become_user(spec)
    # The files below /proc/self are root's while a process is not dumpable.
    confine.undumpable(False)
    unshare_with_user(base.proc, _INNER)


def _with_init(base: Base, spec: SandboxSpec, parent: int) -> None:
    """Become the init of the new pid namespace and return only in its child, the template."""
    view.mount_proc(b"/proc")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    template = os.fork()
    if template:
        _be_init(base, spec, parent, template)
    os.close(parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGCHLD})
    base.nested = True
    base.pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    _finish(base, spec)


def _be_init(base: Base, spec: SandboxSpec, parent: int, template: int) -> None:
    """Reap until nothing is left; pass a request to end on to everyone. Never returns."""
    confine.signal_on_death_of_subreaper(parent, spec.death_signal)
    kernel.close_others((base.null,))
    kernel.set_capabilities(0)
    confine.undumpable()
    status = 0
    while True:
        try:
            pid, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            os._exit(status)
        if pid == template:
            status = os.waitstatus_to_exitcode(code) & 0xFF
        if pid == 0 and signal.sigwait({signal.SIGTERM, signal.SIGCHLD}) == signal.SIGTERM:
            os.kill(-1, signal.SIGTERM)


def _finish(base: Base, spec: SandboxSpec) -> None:
    inherited = confine.data_in_use(spec)
    confine.keep_descriptors(base, spec, base.own_descriptors())
    confine.limit(base, spec, inherited)
    confine.settle(base, spec)
    confine.undumpable()
    if base.template_filter is not None:
        if base.level == NAMESPACES:
            # A new user namespace starts with a full bounding set.
            kernel.drop_bounding()
        kernel.set_capabilities(1 << SYS_ADMIN if base.level == NAMESPACES else 0)
        seccomp.install(base.template_filter, -1, os.getpid())


def _enter_landlock(base: Base, spec: SandboxSpec, parent: int) -> None:
    confine.become_user(spec)
    confine.signal_on_death_of_subreaper(parent, spec.death_signal)
    base.nested = True
    if base.level == LANDLOCK:
        landlock.restrict(base.landlock_abi, world.landlock_rules(base, spec, show_self=True))
    _finish(base, spec)
