"""The read-only root that all sandboxed processes of a runtime share, built in a mount namespace.

Says which of the host's files can be seen at all. It contains no function's
code: that is added for each instance by `enter`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

from ingot_sandbox import kernel

__all__ = [
    "LAYERS",
    "NOTHING",
    "ROOTS",
    "build",
    "executable",
    "library_folders",
    "mount_proc",
    "support_paths",
]

# Mount points for the layers of one function.
LAYERS = ("function", "deps", "bytecode/function", "bytecode/deps")
# All functions' layers, in the template's view only; an instance covers it with an empty folder.
ROOTS, NOTHING = "/.roots", "/.nothing"

_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32")
_DATA = (
    "/usr/share/zoneinfo",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/etc/ld.so.cache",
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
_LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
    "/dev/shm": "/tmp/.shm",
    "/bin": "usr/bin",
}
_FILES = {
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "/etc/group": "root:x:0:\n",
}
_HIGHEST_LISTED_USERS = 10_000


def executable() -> str:
    """Return the interpreter's own file: not the virtual environment's link to it."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def library_folders() -> list[str]:
    """Return the folders that hold shared libraries, the standard library and what is mapped now."""
    found = [path for path in _LIBRARIES if os.path.isdir(path) and not os.path.islink(path)]
    prefix = sys.base_prefix
    if prefix in ("/usr", "/usr/local", "/"):
        found += [folder for name in ("lib", "lib64") if os.path.isdir(folder := os.path.join(prefix, name))]
    else:
        found.append(prefix)
    with open("/proc/self/maps") as maps:
        found += sorted({os.path.dirname(path) for path in re.findall(r"(/\S+\.so\S*)$", maps.read(), re.M)})
    return _outermost(found)


def support_paths() -> list[str]:
    """Return the other host files that user code may read: zones, certificates, the loader's cache."""
    return [path for path in _DATA if os.path.exists(path)]


def _outermost(paths: Sequence[str]) -> list[str]:
    kept: list[str] = []
    for path in sorted(dict.fromkeys(paths), key=len):
        if not any(path == outer or path.startswith(outer + "/") for outer in kept):
            kept.append(path)
    return kept


def build(staging: str, roots: Sequence[str], readable: Sequence[str], uids: range) -> None:
    """Mount the shared root at `staging`. The caller has a mount namespace of its own."""
    program = executable()
    wanted = _outermost([*library_folders(), *support_paths(), *readable, program])
    devices = [f"/dev/{name}" for name in _DEVICES]
    # Opened before the new root hides what lies below `staging`, and so that
    # no folder above a source (a 0700 home) needs to be passable later.
    sources = {path: os.open(path, os.O_PATH) for path in (*wanted, *devices, *roots)}
    kernel.mount(
        b"tmpfs", os.fsencode(staging), b"tmpfs", kernel.NOSUID, b"size=16m,nr_inodes=4096,mode=0755"
    )
    try:
        for path in wanted:
            _bind(sources[path], staging + path, nodev=True)
        for path in devices:
            _bind(sources[path], staging + path, nodev=False)
        _roots(staging, [sources[path] for path in roots])
        _plain_files(staging, program, uids)
    finally:
        for descriptor in sources.values():
            os.close(descriptor)
    _dead_proc(f"{staging}/proc")
    kernel.mount(
        None, os.fsencode(staging), None, kernel.REMOUNT | kernel.BIND | kernel.READ_ONLY | kernel.NOSUID
    )


def _bind(source: int, target: str, nodev: bool) -> None:
    name = os.readlink(f"/proc/self/fd/{source}")
    if os.path.isdir(f"/proc/self/fd/{source}"):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    try:
        where = os.fsencode(target)
        kernel.mount(b"/proc/self/fd/%d" % source, where, None, kernel.BIND | kernel.RECURSIVE)
        kernel.make_read_only(where, nodev)
    except OSError as error:
        raise OSError(error.errno, f"cannot show {name} in the sandbox: {error.strerror}") from None


def _roots(staging: str, sources: Sequence[int]) -> None:
    # A mount of its own, closed to every uid but the template's.
    top = staging + ROOTS
    os.mkdir(top, 0o755)
    kernel.mount(b"tmpfs", os.fsencode(top), b"tmpfs", kernel.NOSUID | kernel.NODEV, b"size=64k,mode=0700")
    for index, source in enumerate(sources):
        _bind(source, f"{top}/{index}", nodev=True)


def _plain_files(staging: str, program: str, uids: range) -> None:
    os.mkdir(staging + NOTHING, 0o000)
    for folder in ("tmp", "proc", "etc", "usr/bin", *LAYERS):
        os.makedirs(f"{staging}/{folder}", exist_ok=True)
    links = dict(_LINKS)
    for path in _LIBRARIES:
        if os.path.islink(path):
            links[path] = os.readlink(path)
    for path, target in links.items():
        os.symlink(target, staging + path)
    for name in ("python", "python3"):
        if not os.path.lexists(path := f"{staging}/usr/bin/{name}"):
            os.symlink(program, path)
    listed = sorted({os.geteuid(), *uids[:_HIGHEST_LISTED_USERS]} - {0})
    users = "".join(f"function:x:{uid}:{uid}::/tmp:/usr/sbin/nologin\n" for uid in listed)
    for path, text in {**_FILES, "/etc/passwd": "root:x:0:0::/:/usr/sbin/nologin\n" + users}.items():
        with open(staging + path, "w") as file:
            file.write(text)


def _dead_proc(target: str) -> None:
    """Mount a proc whose pid namespace has ended: it shows nothing at all.

    A process in a user namespace may mount a proc of its own only where one is
    visible already. This one serves, and nothing lies under the instance's.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            kernel.unshare(kernel.NEW_PIDS)
            inner = os.fork()
            if inner == 0:
                mount_proc(os.fsencode(target))
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1] != 0:
        raise PermissionError(
            1, "proc cannot be mounted: something covers parts of /proc, as container engines do by default"
        )


def mount_proc(target: bytes) -> None:
    """Mount proc for this process's pid namespace, processes only: nothing about the machine."""
    kernel.mount(b"proc", target, b"proc", kernel.NOSUID | kernel.NODEV | kernel.NOEXEC, b"subset=pid")
