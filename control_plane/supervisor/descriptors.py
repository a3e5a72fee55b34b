"""The descriptor store: keeps sockets and pidfds alive while a role restarts.

The wire format is in docs/contracts.md. It holds descriptors and their notes
and understands neither.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from collections import deque
from typing import Any

__all__ = ["DescriptorStore"]

_MESSAGE_BYTES = 1 << 16


class DescriptorStore:
    """Named descriptors of one role, served on a SOCK_SEQPACKET socket."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, Any]] = {}
        # Exits that nobody asked about yet; bounded, as the host may be away for long.
        self._exits: deque[tuple[int, int]] = deque(maxlen=4096)

    def note_exit(self, pid: int, status: int) -> None:
        """Remember the exit of an orphan that the supervisor reaped."""
        self._exits.append((pid, status))

    def serve(self, channel: socket.socket) -> bool:
        """Answer every request that waits on `channel`; False when the other side has gone."""
        while True:
            try:
                space = socket.CMSG_SPACE(4 * 4)
                message, ancillary, _, _ = channel.recvmsg(_MESSAGE_BYTES, space, socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                return False
            if not message or not self._serve_one(channel, message, ancillary):
                return False

    def _serve_one(
        self, channel: socket.socket, message: bytes, ancillary: list[tuple[int, int, bytes]]
    ) -> bool:
        received = _descriptors(ancillary)
        answer, descriptor = self._answer(message, received)
        for spare in received:
            os.close(spare)
        ancillary_out = [] if descriptor is None else [_packed(descriptor)]
        try:
            channel.sendmsg([json.dumps(answer).encode()], ancillary_out)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close everything that is held."""
        for descriptor, _ in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def _answer(self, message: bytes, received: list[int]) -> tuple[dict[str, Any], int | None]:
        try:
            request = json.loads(message)
            operation, name = request["op"], str(request.get("name", ""))
        except (ValueError, KeyError, TypeError):
            return {"ok": False, "error": "not a request"}, None
        if operation == "get" and name in self._held:
            descriptor, meta = self._held[name]
            return {"ok": True, "meta": meta}, descriptor
        return self._change(operation, name, request.get("meta"), received), None

    def _change(self, operation: str, name: str, meta: Any, received: list[int]) -> dict[str, Any]:
        if operation == "put" and received and name:
            self._drop(name)
            self._held[name] = (received.pop(0), meta)
            return {"ok": True}
        if operation == "drop":
            self._drop(name)
            return {"ok": True}
        if operation == "list":
            return {"ok": True, "names": [[key, held] for key, (_, held) in self._held.items()]}
        if operation == "exits":
            exits = [list(found) for found in self._exits]
            self._exits.clear()
            return {"ok": True, "exits": exits}
        return {"ok": False, "error": f"cannot {operation} “{name}”"}

    def _drop(self, name: str) -> None:
        held = self._held.pop(name, None)
        if held:
            with contextlib.suppress(OSError):
                os.close(held[0])


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)


def _packed(descriptor: int) -> tuple[int, int, bytes]:
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes()
