"""Answers waiting connections while a target may not start: a quick 503, not a time-out.

The gateway cannot tell this answer from an instance's, so its body names the
failure code and whose fault it is; nothing may be decided by that claim alone.
A connection gets its answer when its first bytes are here; closing a Unix
socket with unread bytes would reset it, so the request is read away, bounded.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
from collections.abc import Callable

from control_plane.adapters.embedded.host.loop import Loop

__all__ = ["Refusals", "refusal"]

_AT_ONCE = 256
_REQUEST_TIMEOUT_S = 2.0
_READ_BYTES = 1 << 16
_PLATFORM_FAULTS = {"no_interpreter", "layer_missing", "isolation_unavailable"}


def refusal(code: str, reason: str, retry_s: float) -> bytes:
    """Return the whole HTTP answer."""
    body = json.dumps(
        {
            "type": "about:blank",
            "title": "The function cannot start",
            "status": 503,
            "code": code,
            "fault": "platform" if code in _PLATFORM_FAULTS else "author",
            "detail": reason[:500],
        }
    ).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: {max(1, math.ceil(retry_s))}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


class Refusals:
    """Connections that are being told no."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._open = 0

    def accept(self, listener: socket.socket, answer: Callable[[], bytes]) -> bool:
        """Take what waits in the backlog; False when no more connections fit now."""
        while self._open < _AT_ONCE:
            try:
                connection, _ = listener.accept()
            except OSError:
                return True
            connection.setblocking(False)
            self._open += 1
            self._serve(connection, answer)
        return False

    def _serve(self, connection: socket.socket, answer: Callable[[], bytes]) -> None:
        answered = False

        def close() -> None:
            if connection.fileno() >= 0:
                timer.cancel()
                self._loop.forget(connection.fileno())
                connection.close()
                self._open -= 1

        def readable(_events: int) -> None:
            nonlocal answered
            try:
                content = connection.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                content = b""
            if not content:
                close()
            elif not answered:
                answered = True
                with contextlib.suppress(OSError):
                    connection.send(answer())
                    connection.shutdown(socket.SHUT_WR)

        timer = self._loop.after(_REQUEST_TIMEOUT_S, close)
        self._loop.watch(connection.fileno(), readable)
