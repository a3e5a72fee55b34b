"""The first process of a container: starts one instance, watches over it, and leaves with it.

It is what the function host is on one machine: it reaps what is left behind,
ends an instance whose call is overdue, and turns SIGTERM into a drain. It
never runs the author's code itself, so that nothing there can stop it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

__all__ = ["main"]

_SLOT = struct.Struct("<IIQQ")
_SLOT_BYTES = 64
# A slot may be overdue by this much before anybody notices.
_LOOK_MS = 500
_START_SECONDS = 60.0
# For connections that wait while SIGTERM comes: new ones may follow for as long as they are sent here.
_LAST_SECONDS = 10.0
_LAST_LOOK = 0.05
# Of a message: what a log keeps, and what a pod keeps, whose last 2,048 bytes of log are read.
_MESSAGE, _REASON = 7_000, 900
_OVERDUE = "A call took longer than the function's timeout: the instance was ended."


def main() -> None:
    """Run until the instance has left; the exit status says how."""
    from . import container_spec

    try:
        spec = container_spec.read_spec(os.environ)
        listener = _bound(container_spec.port(os.environ))
    except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        _say("start_failed", f"the container cannot start: {error}")
        sys.exit(1)
    slots = os.memfd_create("slots", os.MFD_CLOEXEC)
    os.ftruncate(slots, _SLOT_BYTES * (spec["limits"]["concurrency"] + 1))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Before the fork, so that no signal of its life is missed.
    wake, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _be_instance(spec, listener, slots, theirs)
    theirs.close()
    sys.exit(_Watch(pid, ours, listener, slots, wake).until_the_end())


def _bound(port: int) -> socket.socket:
    """Return a socket on every address that does not listen yet: the instance opens it when it can serve."""
    try:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        address = "::"
    except OSError:
        # A kernel without IPv6.
        listener, address = socket.socket(socket.AF_INET, socket.SOCK_STREAM), "0.0.0.0"  # noqa: S104
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by every connection: a stream's small pieces must not wait for each other.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((address, port))
    return listener


def _be_instance(spec: dict[str, Any], listener: socket.socket, slots: int, status: socket.socket) -> None:
    """Load the author's code and serve it; never returns."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    served = False
    try:
        from . import load, logpipe, serve

        log = os.dup(1)
        logpipe.install(log)
        try:
            loaded = load.load(spec)
        except load.LoadFailed as error:
            serve.failed(status, error.code, error.message)
        else:
            served = serve.serve(loaded, listener, slots, log, status)
    finally:
        # Not the interpreter's own way out, which waits for threads that the author left behind.
        os._exit(0 if served else 1)


class _Watch:
    """One instance as its container sees it."""

    def __init__(
        self, pid: int, status: socket.socket, listener: socket.socket, slots: int, wake: int
    ) -> None:
        self._pid, self._status, self._listener = pid, status, listener
        self._slots, self._wake = slots, wake
        self._ready = self._asked = False
        self._leaving = 0.0
        self._start = time.monotonic()

    def until_the_end(self) -> int:
        """Watch, and return the exit status of the container."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._status, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll(self._pause_ms()):
                if descriptor == self._wake:
                    self._signals()
                elif not self._hear():
                    poll.unregister(descriptor)
            ended = self._reap()
            if ended is not None:
                return self._status_of(ended)
            self._look()

    def _pause_ms(self) -> int:
        return int(_LAST_LOOK * 1000) if self._leaving and not self._asked else _LOOK_MS

    def _signals(self) -> None:
        numbers = os.read(self._wake, 512)
        if (signal.SIGTERM in numbers or signal.SIGINT in numbers) and not self._leaving:
            self._leaving = time.monotonic()
            if not self._ready:
                # Nobody was let in, so nothing is to be finished.
                self._end()

    def _hear(self) -> bool:
        """Take what the instance says; False when it is gone."""
        try:
            said = self._status.recv(1 << 16)
            event = json.loads(said) if said else None
        except (OSError, ValueError):
            event = None
        if not isinstance(event, dict):
            return False
        if event.get("event") == "ready":
            self._ready = True
        elif event.get("event") == "failed":
            _say(str(event.get("code")), str(event.get("message")))
        return True

    def _look(self) -> None:
        """Do what is due by now."""
        now = time.monotonic()
        if self._leaving and not self._asked and self._ready:
            waiting = select.select([self._listener], [], [], 0)[0]
            if not waiting or now - self._leaving > _LAST_SECONDS:
                self._asked = True
                with contextlib.suppress(OSError):
                    self._status.send(b"q", socket.MSG_NOSIGNAL)
        if not self._ready and now - self._start > _START_SECONDS:
            _say("start_timeout", f"The code did not load within {_START_SECONDS:g} s.")
            self._end()
        elif self._overdue():
            _say("overdue", _OVERDUE)
            self._end()

    def _overdue(self) -> bool:
        now = time.monotonic_ns()
        table = os.pread(self._slots, os.fstat(self._slots).st_size, 0)
        for offset in range(_SLOT_BYTES, len(table), _SLOT_BYTES):
            state, _, _, deadline = _SLOT.unpack_from(table, offset)
            if state and now > deadline:
                return True
        return False

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def _reap(self) -> int | None:
        """Reap whoever has ended; returns the instance's wait status when it is among them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1 << 8
            if pid == 0:
                return None
            if pid == self._pid:
                return status

    def _status_of(self, ended: int) -> int:
        # What it said last may still lie in the socket.
        with contextlib.suppress(OSError):
            self._status.setblocking(False)
            while self._hear():
                pass
        if self._leaving and (not self._ready or ended == 0):
            return 0
        code = os.waitstatus_to_exitcode(ended)
        return 128 - code if code < 0 else code or 1


def _say(code: str, message: str) -> None:
    """Write a record as an instance writes its own, then the short line that becomes the pod's reason."""
    record = {"r": "", "l": "error", "m": message[-_MESSAGE:], "f": {"code": code}}
    short = {"code": code, "message": message[-_REASON:]}
    lines = [json.dumps(line, ensure_ascii=False) for line in (record, short)]
    with contextlib.suppress(OSError):
        os.write(1, ("\n".join(lines) + "\n").encode("utf-8", "replace"))
