"""The namespaces and private mounts of one instance, on top of the shared root.

Mount points exist in the root that `view` built; nothing is created here but
mounts. A few calls each, because every cold start pays for them.
"""

from __future__ import annotations

import os

from ingot_sandbox import kernel, landlock, view
from ingot_sandbox.base import Base
from ingot_sandbox.spec import SandboxSpec

__all__ = ["landlock_rules", "mount_layers", "mount_tmp"]

_ROOTS, _NOTHING = view.ROOTS.encode(), view.NOTHING.encode()
_PLAIN = kernel.NOSUID | kernel.NODEV


def mount_layers(base: Base, spec: SandboxSpec) -> None:
    """Show this function's layers at their names and hide all the others."""
    for name, folder in spec.layers.items():
        if name not in view.LAYERS:
            raise ValueError(f"no mount point for the layer {name!r}; there are {', '.join(view.LAYERS)}")
        # The read-only flag is the source mount's and is inherited.
        kernel.mount(_source(base, folder), f"/{name}".encode(), None, kernel.BIND)
    # Covering costs 10 µs, unmounting 400 (it waits for the kernel's readers).
    # Nobody can lift the cover: that takes a capability and a call that no user code has.
    kernel.mount(_NOTHING, _ROOTS, None, kernel.BIND)


def _source(base: Base, folder: str) -> bytes:
    path = os.path.normpath(folder)
    for index, root in enumerate(base.roots):
        if path.startswith(root + "/"):
            return f"{view.ROOTS}/{index}/{path[len(root) + 1 :]}".encode()
    raise ValueError(f"the layer {folder} is in none of the sandbox's roots: {', '.join(base.roots)}")


def mount_tmp(spec: SandboxSpec) -> None:
    """Mount the one writable folder, bounded in bytes and inodes; /dev/shm is a link into it."""
    options = f"size={spec.tmp_mb}m,nr_inodes={spec.tmp_inodes},mode=1777"
    kernel.mount(b"tmpfs", b"/tmp", b"tmpfs", _PLAIN, options.encode())
    os.mkdir("/tmp/.shm")
    # mkdir obeys the umask, and the instance may be another user than this one.
    os.chmod("/tmp/.shm", 0o1777)  # noqa: S103 - as every /dev/shm; the mount is this instance's alone


def landlock_rules(base: Base, spec: SandboxSpec, show_self: bool) -> list[tuple[int, int]]:
    """Return the rules of one process: the shared ones, its layers, its folder, its own /proc entry."""
    rules = list(base.rules)
    rules += [(os.open(path, os.O_PATH | os.O_CLOEXEC), landlock.READ) for path in spec.layers.values()]
    if spec.tmp_folder:
        rules.append((os.open(spec.tmp_folder, os.O_PATH | os.O_CLOEXEC), landlock.WRITE))
    if show_self:
        own = os.open(f"/proc/{os.getpid()}", os.O_PATH | os.O_CLOEXEC)
        rules.append((own, landlock.READ & ~1))
    return rules
