"""Confines its own process, then becomes the command: the last step before uv runs.

Run as a script by `builders.confine`, never imported by it, with the standard
library alone: `python -I -S confine_child.py <rules as JSON> <command> ...`.
Limits, no new privileges, death with the parent, and by Landlock (where the
kernel has it) no write outside the given folders and no program executed
except the given ones. Reading and the network stay open: a resolver needs both.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
# The same numbers on x86_64 and aarch64.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE = 1 << 0, 1 << 1
# Write file, remove and make every kind of entry: rights 1 and 4 to 12 of the first version.
_WRITE_RIGHTS = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE = 1 << 13, 1 << 14
# Rights that a rule on a plain file may name.
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _TRUNCATE


def main() -> None:
    """Apply the rules in argv[1] and execute the rest."""
    rules = json.loads(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != rules["parent"]:
        sys.exit("the parent ended before its child began")
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit("no_new_privs was refused")
    os.umask(0o022)
    for name, value in rules["limits"].items():
        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (allowed, allowed))
    _restrict(libc, rules["writable"], rules["executable"])
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - to become the command is this script's purpose


def _restrict(libc: ctypes.CDLL, writable: list[str], executable: list[str]) -> None:
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        # A kernel without Landlock: limits, the environment and --no-build remain.
        return
    write = _WRITE_RIGHTS | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("=Q", write | _EXECUTE)
    ruleset = libc.syscall(
        _LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
    )
    if ruleset < 0:
        sys.exit(f"Landlock: no rule set: {os.strerror(ctypes.get_errno())}")
    for path in writable:
        _allow(libc, ruleset, path, write)
    for path in executable:
        _allow(libc, ruleset, path, _EXECUTE)
    if libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) != 0:
        sys.exit(f"Landlock: refused: {os.strerror(ctypes.get_errno())}")
    os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):  # noqa: PTH112 - pathlib would cost more than all the rest here
        rights &= _FILE_RIGHTS
    rule = struct.pack("=Qi", rights, descriptor)
    if libc.syscall(_LANDLOCK_ADD_RULE, ruleset, ctypes.c_int(1), rule, ctypes.c_uint32(0)) != 0:
        sys.exit(f"Landlock: no rule for {path}: {os.strerror(ctypes.get_errno())}")
    os.close(descriptor)


if __name__ == "__main__":
    main()
