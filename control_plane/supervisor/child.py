"""One supervised process: its start with exact descriptors and rights, and its end.

Must be called from a single-threaded process: the steps between fork and exec
run Python.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from control_plane.supervisor.roles import Role

__all__ = ["Child"]

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """A running role. Reaping is the loop's; this object only knows the pid."""

    def __init__(self, role: Role, argv: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.role = role
        self.ready = False
        self.began = time.monotonic()
        self.killed_at: float | None = None
        self._argv, self._environment, self._log = argv, dict(environment), log
        self.pid = 0
        self.store: socket.socket | None = None
        self.ready_pipe: int | None = None

    def start(self, inherited: Mapping[str, int], secrets: Mapping[str, str]) -> None:
        """Fork and exec. `inherited` maps environment names to descriptors of ours."""
        passed = dict(inherited)
        to_close: list[int] = []
        self.ready_pipe, ready_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(ready_end, True)
        passed["INGOT_READY_FD"] = ready_end
        to_close.append(ready_end)
        if self.role.secrets:
            passed["INGOT_SECRETS_FD"] = _sealed({name: secrets[name] for name in self.role.secrets})
            to_close.append(passed["INGOT_SECRETS_FD"])
        if self.role.store:
            self.store, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.store.setblocking(False)
            for end in (self.store, theirs):
                # Thousands of names fit into one answer.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            passed["INGOT_STORE_FD"] = theirs.detach()
            to_close.append(passed["INGOT_STORE_FD"])
        environment = self._environment | {name: str(number) for name, number in passed.items()}
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        to_close.append(log)
        parent = os.getpid()
        try:
            process = subprocess.Popen(
                self._argv,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=tuple(passed.values()),
                preexec_fn=lambda: _prepare(self.role, parent),  # noqa: PLW1509 - this process has one thread
                start_new_session=True,
            )
        finally:
            for descriptor in to_close:
                os.close(descriptor)
        self.pid = process.pid
        # The loop reaps by waitpid(-1); Popen must not do it again.
        process.returncode = 0

    def read_ready(self) -> bool:
        """Take what the ready pipe holds; False when it will say nothing more."""
        if self.ready_pipe is None:
            return False
        with contextlib.suppress(BlockingIOError):
            said = os.read(self.ready_pipe, 64)
            if b"READY=1" in said:
                self.ready = True
            else:
                return False
        return not self.ready

    def signal(self, number: int) -> None:
        """Send a signal; a process that is gone already is fine."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def close(self) -> None:
        """Close our ends of its channels."""
        if self.ready_pipe is not None:
            os.close(self.ready_pipe)
            self.ready_pipe = None
        if self.store is not None:
            self.store.close()
            self.store = None


def _sealed(content: Mapping[str, str]) -> int:
    descriptor = os.memfd_create("secrets", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, json.dumps(dict(content)).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return descriptor


def _prepare(role: Role, parent: int) -> None:
    """Run in the child before exec: own rights, then the parent-death signal."""
    if role.group is not None:
        os.setgroups([role.group])
        os.setgid(role.group)
    if role.user is not None:
        os.setuid(role.user)
    # A change of rights clears the death signal, so it comes last.
    _libc.prctl(_PR_SET_PDEATHSIG, int(role.stop_signal), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
