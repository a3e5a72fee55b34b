"""Asks the kernel about a listening Unix socket by sock_diag netlink.

This shows pending connections without watching the socket: an idle watcher of
a shared listener would be woken by every call.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

__all__ = ["ListenerState", "UnixDiag", "parse_answer"]

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_SHOW_RQLEN = 0x10
_ANY_COOKIE = 0xFFFFFFFF
_ATTRIBUTE_RQLEN = 4
_ATTRIBUTE_SHUTDOWN = 6
_MESSAGE_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBHIIIII")
_ANSWER = struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class ListenerState:
    """What the kernel says of one listener."""

    pending: int
    backlog: int
    # Somebody who holds the socket called shutdown() on it.
    hung_up: bool


def parse_answer(message: bytes) -> ListenerState | None:
    """Read one netlink answer. None: the kernel does not know the socket."""
    if len(message) < _MESSAGE_HEADER.size:
        return None
    length, kind, *_ = _MESSAGE_HEADER.unpack_from(message)
    if kind != _SOCK_DIAG_BY_FAMILY or length > len(message):
        return None
    pending = backlog = shutdown = 0
    offset = _MESSAGE_HEADER.size + _ANSWER.size
    while offset + _ATTRIBUTE.size <= length:
        size, attribute = _ATTRIBUTE.unpack_from(message, offset)
        if size < _ATTRIBUTE.size or offset + size > length:
            break
        value = message[offset + _ATTRIBUTE.size : offset + size]
        if attribute == _ATTRIBUTE_RQLEN and len(value) >= 8:
            pending, backlog = struct.unpack_from("=II", value)
        elif attribute == _ATTRIBUTE_SHUTDOWN and value:
            shutdown = value[0]
        offset += (size + 3) & ~3
    return ListenerState(pending, backlog, bool(shutdown))


class UnixDiag:
    """One netlink socket, asked synchronously: the kernel answers within the send."""

    def __init__(self) -> None:
        self._channel = socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
        )
        self._channel.settimeout(1.0)
        self._sequence = 0

    def ask(self, listener: socket.socket) -> ListenerState | None:
        """Return the state of a listener that this process holds."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        inode = os.fstat(listener.fileno()).st_ino
        body = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, inode, _SHOW_RQLEN, _ANY_COOKIE, _ANY_COOKIE)
        head = _MESSAGE_HEADER.pack(
            _MESSAGE_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, self._sequence, 0
        )
        self._channel.sendto(head + body, (0, 0))
        while True:
            answer = self._channel.recv(4096)
            if len(answer) < _MESSAGE_HEADER.size:
                return None
            _, kind, _, sequence, _ = _MESSAGE_HEADER.unpack_from(answer)
            # An answer that came after an earlier time-out is skipped.
            if sequence == self._sequence:
                return None if kind == _NLMSG_ERROR else parse_answer(answer)

    def close(self) -> None:
        """Close the netlink socket."""
        self._channel.close()
