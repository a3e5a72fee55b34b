"""What instances and templates say on their sockets: parsing and the kernel's credentials.

The words are the other side's claims; only the process id in the ancillary
data is the kernel's own.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
from typing import Any

__all__ = ["Gone", "open_pidfd", "receive", "status_pair"]

_CREDENTIALS = struct.Struct("=iII")
_MESSAGE_BYTES = 1 << 18


class Gone(Exception):
    """The other side closed the socket."""


def status_pair() -> tuple[socket.socket, socket.socket]:
    """Return (ours, theirs); the kernel tells us who sends on theirs."""
    kind = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def receive(ours: socket.socket) -> tuple[dict[str, Any], int] | None:
    """Return (message, sender's process id), None when nothing is there. Raises Gone."""
    try:
        content, ancillary, _, _ = ours.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
    except BlockingIOError:
        return None
    except OSError as error:
        raise Gone from error
    if not content:
        raise Gone
    pid = 0
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
    try:
        message = json.loads(content)
    except (ValueError, RecursionError):
        message = None
    return (message if isinstance(message, dict) else {}), pid


def open_pidfd(pid: int, ours: socket.socket) -> int:
    """Return a pidfd of the process that waits on the other end. Raises Gone when it has ended.

    The id could have been given to another process before the pidfd was
    opened; but the sender waits for our answer, so while its end is open the
    id is still its own.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except (ProcessLookupError, OSError) as error:
        raise Gone from error
    poller = select.poll()
    poller.register(ours, select.POLLIN)
    if any(events & (select.POLLHUP | select.POLLERR) for _, events in poller.poll(0)):
        os.close(descriptor)
        raise Gone
    return descriptor
