"""The control socket: one JSON line in, one JSON line out, for trusted users only.

Reading and answering happen here; what a request means is the operations'.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from control_plane.adapters.embedded.host.listening import bind_listener
from control_plane.adapters.embedded.host.loop import Loop
from control_plane.errors import IngotError

__all__ = ["Answer", "Control", "Operation"]

_log = logging.getLogger(__name__)
_CREDENTIALS = struct.Struct("=iII")
# A test run brings its body and both schemas.
_REQUEST_BYTES = 32 << 20
_READ_BYTES = 1 << 16
_REQUEST_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 10.0
_CONNECTIONS = 64

Answer = Callable[[Mapping[str, Any]], None]
Operation = Callable[[Mapping[str, Any], Answer], None]


class Control:
    """Accepts connections and hands requests to operations by name."""

    def __init__(
        self, loop: Loop, path: Path, owner: int | None, operations: Mapping[str, Operation]
    ) -> None:
        self._loop = loop
        self._operations = operations
        self._allowed = {0, os.geteuid(), owner}
        self._open = 0
        self._listener = bind_listener(path, 64, owner)
        loop.watch(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Stop accepting."""
        self._loop.forget(self._listener.fileno())
        self._listener.close()

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        size = _CREDENTIALS.size
        _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        if uid not in self._allowed or self._open >= _CONNECTIONS:
            connection.close()
            return
        self._open += 1
        _Conversation(self._loop, connection, self._operations, self._closed)

    def _closed(self) -> None:
        self._open -= 1


class _Conversation:
    """One request and its answer."""

    def __init__(
        self,
        loop: Loop,
        connection: socket.socket,
        operations: Mapping[str, Operation],
        closed: Callable[[], None],
    ) -> None:
        self._loop, self._connection, self._operations, self._closed = loop, connection, operations, closed
        self._request = bytearray()
        self._answer = b""
        self._answered = False
        self._timer = loop.after(_REQUEST_TIMEOUT_S, self._close)
        loop.watch(connection.fileno(), self._readable)

    def _readable(self, _events: int) -> None:
        try:
            content = self._connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        self._request += content
        line, newline, _ = self._request.partition(b"\n")
        if newline:
            self._loop.forget(self._connection.fileno())
            self._timer.cancel()
            self._obey(bytes(line))
        elif not content or len(self._request) > _REQUEST_BYTES:
            self._close()

    def _obey(self, line: bytes) -> None:
        try:
            request = json.loads(line)
            operation = self._operations.get(request["op"])
        except (ValueError, KeyError, TypeError, RecursionError):
            self._say(
                {"ok": False, "code": "invalid", "message": "The request is not a JSON object with “op”."}
            )
            return
        if operation is None:
            known = ", ".join(sorted(self._operations))
            self._say({"ok": False, "code": "invalid", "message": f"“op” must be one of {known}."})
            return
        try:
            operation(request, self._say)
        except IngotError as error:
            self._say({"ok": False, "code": error.code, "message": error.message, "field": error.field})
        except Exception as error:  # noqa: BLE001 - the other side waits for an answer.
            _log.exception("the operation %s failed", request["op"])
            self._say({"ok": False, "code": "internal", "message": f"{type(error).__name__}: {error}"})

    def _say(self, answer: Mapping[str, Any]) -> None:
        if self._answered or self._connection.fileno() < 0:
            return
        self._answered = True
        self._answer = json.dumps(answer).encode() + b"\n"
        self._timer = self._loop.after(_ANSWER_TIMEOUT_S, self._close)
        self._writable(0)

    def _writable(self, _events: int) -> None:
        try:
            sent = self._connection.send(self._answer)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close()
            return
        self._answer = self._answer[sent:]
        if self._answer:
            self._loop.watch(self._connection.fileno(), self._writable, select.EPOLLOUT)
        else:
            self._close()

    def _close(self) -> None:
        if self._connection.fileno() >= 0:
            self._timer.cancel()
            self._loop.forget(self._connection.fileno())
            self._connection.close()
            self._closed()
