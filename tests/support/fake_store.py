"""A descriptor store without a supervisor: the protocol of docs/contracts.md and nothing else."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

__all__ = ["FakeStore"]


class FakeStore:
    """Holds descriptors by name; call `serve_waiting` when `channel` is readable."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[int, Any]] = {}
        self.exits: list[tuple[int, int]] = []
        self.channel, self._theirs = self._pair()

    def new_channel(self) -> socket.socket:
        """Return the client's end for a new host; the former host's end is closed."""
        self.channel.close()
        self._theirs.close()
        self.channel, self._theirs = self._pair()
        return self._theirs.dup()

    def serve_waiting(self) -> None:
        """Answer every request that is there."""
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self.channel, 1 << 16, 4)
            except OSError:
                return
            if not message:
                return
            answer, sent = self._answer(json.loads(message), descriptors)
            try:
                socket.send_fds(self.channel, [json.dumps(answer).encode()], sent)
            except OSError:
                return

    def close(self) -> None:
        """Close everything that is held."""
        for descriptor, _ in self.held.values():
            os.close(descriptor)
        self.held.clear()
        self.channel.close()
        self._theirs.close()

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        ours.setblocking(False)
        return ours, theirs

    def _answer(self, request: dict[str, Any], descriptors: list[int]) -> tuple[dict[str, Any], list[int]]:
        operation, name = request["op"], request.get("name", "")
        if operation == "put":
            self._drop(name)
            self.held[name] = (descriptors[0], request.get("meta"))
            return {"ok": True}, []
        if operation == "drop":
            self._drop(name)
            return {"ok": True}, []
        if operation == "list":
            return {"ok": True, "names": [[key, meta] for key, (_, meta) in self.held.items()]}, []
        if operation == "exits":
            exits, self.exits = self.exits, []
            return {"ok": True, "exits": exits}, []
        if operation == "get" and name in self.held:
            descriptor, meta = self.held[name]
            return {"ok": True, "meta": meta}, [descriptor]
        return {"ok": False}, []

    def _drop(self, name: str) -> None:
        if name in self.held:
            os.close(self.held.pop(name)[0])
