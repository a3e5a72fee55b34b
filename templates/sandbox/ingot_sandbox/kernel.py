"""The few kernel calls that Python 3.11 does not offer, by ctypes.

Each function raises OSError with what was tried. Nothing here decides
anything. Function objects and their argument types are made at import, so a
call after a fork touches little memory.
"""

from __future__ import annotations

import ctypes
import os
import sys

from ingot_sandbox import syscalls

__all__ = [
    "BIND",
    "DETACH",
    "NEW_IPC",
    "NEW_MOUNTS",
    "NEW_NET",
    "NEW_PIDS",
    "NEW_USER",
    "NEW_UTS",
    "NODEV",
    "NOEXEC",
    "NOSUID",
    "PRIVATE",
    "READ_ONLY",
    "RECURSIVE",
    "REMOUNT",
    "close_others",
    "drop_bounding",
    "make_read_only",
    "mount",
    "pivot",
    "prctl",
    "set_capabilities",
    "set_namespace",
    "syscall",
    "tasks",
    "unmount",
    "unshare",
]

NEW_MOUNTS, NEW_UTS, NEW_IPC = 0x0002_0000, 0x0400_0000, 0x0800_0000
NEW_USER, NEW_PIDS, NEW_NET = 0x1000_0000, 0x2000_0000, 0x4000_0000
READ_ONLY, NOSUID, NODEV, NOEXEC, REMOUNT = 1, 2, 4, 8, 32
BIND, RECURSIVE, PRIVATE = 4096, 16384, 1 << 18
DETACH = 2
_AT_EMPTY_PATH, _AT_RECURSIVE, _AT_FDCWD = 0x1000, 0x8000, -100
_ATTR_READ_ONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_LAST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)
_mount = _libc.mount
_mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_umount2 = _libc.umount2
_umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
_unshare = _libc.unshare
_unshare.argtypes = [ctypes.c_int]
_setns = _libc.setns
_setns.argtypes = [ctypes.c_int, ctypes.c_int]
_prctl = _libc.prctl
_prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]
_syscall = _libc.syscall
_syscall.argtypes = [ctypes.c_long] * 7
_syscall.restype = ctypes.c_long
_sysinfo = _libc.sysinfo
_sysinfo.argtypes = [ctypes.c_char_p]

_CLOSE_RANGE = syscalls.number("close_range") or 0
_CAPSET = syscalls.number("capset") or 0
_MOUNT_SETATTR = syscalls.number("mount_setattr") or 0
_PIVOT_ROOT = syscalls.number("pivot_root") or 0
_PR_CAPBSET_DROP = 24
# struct sysinfo is 112 bytes with 64-bit words; its `procs` stands behind ten of them.
_info = ctypes.create_string_buffer(128)
_PROCS = 80

# struct __user_cap_header_struct, version 3, this process.
_cap_header = (ctypes.c_uint32 * 2)(0x2008_0522, 0)
# Two structs of effective, permitted, inheritable.
_cap_data = (ctypes.c_uint32 * 6)()


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: int) -> int:
    """Make a raw call with integers (addresses included)."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    return _check(_syscall(number, *padded), f"system call {number}")


def mount(source: bytes | None, target: bytes, kind: bytes | None, flags: int, options: bytes = b"") -> None:
    """Mount, by the classic call."""
    _check(_mount(source, target, kind, flags, options or None), f"mount {kind or source!r} at {target!r}")


def unmount(target: bytes, flags: int = DETACH) -> None:
    """Unmount; by default at once, even if it is in use."""
    _check(_umount2(target, flags), f"unmount {target!r}")


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones."""
    _check(_unshare(flags), f"unshare {flags:#x}")


def set_namespace(descriptor: int, kind: int) -> None:
    """Enter the namespace that the descriptor names."""
    _check(_setns(descriptor, kind), f"setns {kind:#x}")


def prctl(option: int, second: int = 0, third: int = 0) -> int:
    """Call prctl with up to two values."""
    return _check(_prctl(option, second, third, 0, 0), f"prctl {option}")


def make_read_only(path: bytes, nodev: bool = True) -> None:
    """Set read-only and nosuid on the mount at `path` and on every mount below it."""
    flags = _ATTR_READ_ONLY | _ATTR_NOSUID | (_ATTR_NODEV if nodev else 0)
    attributes = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)
    name = ctypes.create_string_buffer(path)
    result = _syscall(
        _MOUNT_SETATTR, _AT_FDCWD, ctypes.addressof(name), _AT_RECURSIVE, ctypes.addressof(attributes), 32, 0
    )
    _check(result, f"mount_setattr {path!r}")


def pivot(new_root: str) -> None:
    """Make `new_root` (a mount) the root and let go of the old one."""
    os.chdir(new_root)
    dot = ctypes.create_string_buffer(b".")
    _check(_syscall(_PIVOT_ROOT, ctypes.addressof(dot), ctypes.addressof(dot), 0, 0, 0, 0), "pivot_root")
    unmount(b".")
    os.chdir("/")


def close_others(keep: tuple[int, ...]) -> None:
    """Close every descriptor that is not in `keep`."""
    first = 0
    for descriptor in sorted(set(keep)):
        if descriptor > first:
            _check(_syscall(_CLOSE_RANGE, first, descriptor - 1, 0, 0, 0, 0), "close_range")
        first = descriptor + 1
    _check(_syscall(_CLOSE_RANGE, first, 0x7FFF_FFFF, 0, 0, 0, 0), "close_range")


def set_capabilities(mask: int) -> None:
    """Keep exactly the capabilities in `mask`, permitted and effective; none inheritable, so none ambient."""
    low, high = mask & 0xFFFF_FFFF, mask >> 32
    _cap_data[:] = [low, low, 0, high, high, 0]
    result = _syscall(_CAPSET, ctypes.addressof(_cap_header), ctypes.addressof(_cap_data), 0, 0, 0, 0)
    _check(result, "capset")


def drop_bounding() -> None:
    """Empty the bounding set, so that no exec can ever bring a capability back."""
    for capability in range(_LAST_CAPABILITY + 1):
        # The kernel answers EINVAL behind its last capability.
        if _prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            if ctypes.get_errno() == 22 and capability > 0:
                return
            _check(-1, "drop the bounding set")


def tasks() -> int:
    """Return how many processes and threads the machine runs, asked without any file."""
    _check(_sysinfo(_info), "sysinfo")
    return int.from_bytes(_info.raw[_PROCS : _PROCS + 2], sys.byteorder)
