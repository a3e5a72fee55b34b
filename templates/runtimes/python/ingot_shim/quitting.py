"""Hears that the instance should leave: SIGTERM, or a byte `q` on the status socket."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from typing import Any

__all__ = ["Quit", "tell"]


class Quit:
    """Made on the main thread, once. `asked` turns true and stays so."""

    def __init__(self, status: socket.socket) -> None:
        self.asked = False
        self._status: socket.socket | None = status
        # A signal between the check and the wait would be lost without a descriptor.
        self._wake, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Never drained, so that every thread that watches it sees it.
        self.broadcast, self._broadcaster = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGTERM, lambda number, frame: self.ask())
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def ask(self) -> None:
        """Leave after what runs now."""
        if not self.asked:
            self.asked = True
            os.write(self._broadcaster, b"q")

    def watch(self, poll: select.epoll) -> None:
        """Have the main thread's wait end when something was said."""
        poll.register(self._wake, select.EPOLLIN)
        if self._status is not None:
            poll.register(self._status.fileno(), select.EPOLLIN)

    def hear(self, descriptor: int, poll: select.epoll) -> None:
        """Take in what a watched descriptor says."""
        if descriptor == self._wake:
            os.read(self._wake, 512)
        elif self._status is not None and descriptor == self._status.fileno() and not self.listen():
            poll.unregister(descriptor)
            self._status = None

    def listen(self) -> bool:
        """Read the status socket; False when the host is gone, which is no reason to leave."""
        if self._status is None:
            return False
        try:
            said = self._status.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if b"q" in said:
            self.ask()
        return bool(said)


def tell(status: socket.socket, event: dict[str, Any]) -> None:
    """Send one event to the host, if it is still there."""
    try:
        status.send(json.dumps(event).encode(), socket.MSG_NOSIGNAL)
    except OSError:
        # A host that restarts asks the kernel, not us.
        return
