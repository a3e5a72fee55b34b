"""Landlock rules: which files a process without namespaces of its own may reach.

Only the kernel's interface and the meaning of "read" and "write" are here;
which paths get them is decided in `base` and `enter`.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable

from ingot_sandbox import kernel, syscalls

__all__ = ["READ", "READ_FILE", "SCOPES_SINCE", "WRITE", "WRITE_FILE", "abi", "lacks", "restrict"]

_CREATE = syscalls.number("landlock_create_ruleset") or 0
_ADD = syscalls.number("landlock_add_rule") or 0
_RESTRICT = syscalls.number("landlock_restrict_self") or 0
_VERSION_FLAG = 1
# The first ABI that keeps signals and abstract sockets inside.
SCOPES_SINCE = 6
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, WRITE_FILE, READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_MAKE_FIFO, _MAKE_SYM = 1 << 10, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14

READ = _EXECUTE | READ_FILE | _READ_DIR
# No sockets and no device nodes are ever made.
WRITE = (
    (READ & ~_EXECUTE)
    | WRITE_FILE
    | _REMOVE_DIR
    | _REMOVE_FILE
    | _MAKE_DIR
    | _MAKE_REG
    | _MAKE_FIFO
    | _MAKE_SYM
    | _REFER
    | _TRUNCATE
)
# Highest file right of each ABI: all lower ones exist too.
_FILE_RIGHTS = {1: 12, 2: 13, 3: 14, 4: 14, 5: 15}
_LACKS = {
    2: "moving files between folders",
    3: "a check of truncate",
    4: "a check of TCP",
    5: "a check of device ioctls",
    6: "scopes for signals and abstract sockets",
}


def abi() -> int:
    """Return the kernel's Landlock ABI, 0 where there is none."""
    try:
        return kernel.syscall(_CREATE, 0, 0, _VERSION_FLAG)
    except OSError:
        return 0


def lacks(version: int) -> list[str]:
    """Return what this ABI cannot check; the seccomp filter does it instead."""
    return [what for since, what in _LACKS.items() if version < since]


def restrict(version: int, rules: Iterable[tuple[int, int]]) -> None:
    """Confine this process: every file right not granted by a (descriptor, rights) rule is gone."""
    files = (1 << (_FILE_RIGHTS[min(version, 5)] + 1)) - 1
    network = 3 if version >= 4 else 0
    scopes = 3 if version >= SCOPES_SINCE else 0
    size = 24 if version >= SCOPES_SINCE else 16 if version >= 4 else 8
    attributes = ctypes.create_string_buffer(struct.pack("=QQQ", files, network, scopes), 24)
    ruleset = kernel.syscall(_CREATE, ctypes.addressof(attributes), size, 0)
    rule = ctypes.create_string_buffer(12)
    for descriptor, rights in rules:
        struct.pack_into("=Qi", rule, 0, rights & files, descriptor)
        kernel.syscall(_ADD, ruleset, _PATH_BENEATH, ctypes.addressof(rule), 0)
    kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    kernel.syscall(_RESTRICT, ruleset, 0)
