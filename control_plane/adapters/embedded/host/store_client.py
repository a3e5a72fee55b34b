"""Client of the supervisor's descriptor store: what must outlive this process.

Without a supervisor (tests, a host by hand) `NoStore` keeps nothing.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["DescriptorStore", "NoStore", "StoreClient", "store_from_environment"]

# Answers wait in the socket; more of them than this might fill it.
_MOST_UNANSWERED = 64
_log = logging.getLogger(__name__)
_TIMEOUT_S = 5.0
_MESSAGE_BYTES = 4 << 20


class DescriptorStore(Protocol):
    """Named descriptors that survive the host."""

    def put(self, name: str, descriptor: int, meta: Mapping[str, Any]) -> None:
        """Keep a duplicate of the descriptor under the name."""
        ...

    def put_all(self, entries: list[tuple[str, int, Mapping[str, Any]]]) -> None:
        """Keep several."""
        ...

    def drop(self, *names: str) -> None:
        """Forget names; unknown ones are fine."""
        ...

    def names(self) -> list[tuple[str, dict[str, Any]]]:
        """Return every (name, meta)."""
        ...

    def get(self, name: str) -> int | None:
        """Return a duplicate of the descriptor, or None."""
        ...

    def exits(self) -> list[tuple[int, int]]:
        """Return (pid, wait status) of orphans reaped since the last question."""
        ...


class NoStore:
    """Keeps nothing: everything ends with the host."""

    def put(self, name: str, descriptor: int, meta: Mapping[str, Any]) -> None:
        """Do nothing."""

    def put_all(self, entries: list[tuple[str, int, Mapping[str, Any]]]) -> None:
        """Do nothing."""

    def drop(self, *names: str) -> None:
        """Do nothing."""

    def names(self) -> list[tuple[str, dict[str, Any]]]:
        """Return nothing."""
        return []

    def get(self, name: str) -> int | None:
        """Return nothing."""
        return None

    def exits(self) -> list[tuple[int, int]]:
        """Return nothing."""
        return []


class StoreClient:
    """Speaks the store's protocol over a SOCK_SEQPACKET socket.

    Keeping and forgetting do not wait for the answer: what lies in the socket
    reaches the supervisor even when this process is killed in the next moment,
    and a cold start must not wait for another process's turn.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._unanswered: deque[str] = deque()
        channel.settimeout(_TIMEOUT_S)

    def put(self, name: str, descriptor: int, meta: Mapping[str, Any]) -> None:
        """Keep a duplicate of the descriptor under the name."""
        self._send({"op": "put", "name": name, "meta": dict(meta)}, descriptor)
        self._unanswered.append(name)
        self._collect(_MOST_UNANSWERED)

    def put_all(self, entries: list[tuple[str, int, Mapping[str, Any]]]) -> None:
        """Keep several."""
        for name, descriptor, meta in entries:
            self.put(name, descriptor, meta)

    def drop(self, *names: str) -> None:
        """Forget names."""
        for name in names:
            self._send({"op": "drop", "name": name})
            self._unanswered.append(name)
        self._collect(_MOST_UNANSWERED)

    def names(self) -> list[tuple[str, dict[str, Any]]]:
        """Return every (name, meta)."""
        return [(name, meta or {}) for name, meta in self._ask({"op": "list"})[0].get("names", [])]

    def get(self, name: str) -> int | None:
        """Return a duplicate of the descriptor, or None."""
        return self._ask({"op": "get", "name": name})[1]

    def exits(self) -> list[tuple[int, int]]:
        """Return the exits of orphans."""
        return [(pid, status) for pid, status in self._ask({"op": "exits"})[0].get("exits", [])]

    def _ask(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], int | None]:
        self._collect(0)
        self._send(request)
        return self._receive()

    def _collect(self, keep: int) -> None:
        """Take answers until at most `keep` are outstanding; they come in the order of the requests."""
        while len(self._unanswered) > keep:
            name = self._unanswered.popleft()
            if not self._receive()[0].get("ok"):
                _log.error("the supervisor does not keep %s", name)

    def _send(self, request: Mapping[str, Any], descriptor: int | None = None) -> None:
        descriptors = [] if descriptor is None else [descriptor]
        socket.send_fds(self._channel, [json.dumps(request).encode()], descriptors)

    def _receive(self) -> tuple[dict[str, Any], int | None]:
        message, descriptors, _, _ = socket.recv_fds(self._channel, _MESSAGE_BYTES, 1)
        if not message:
            raise ConnectionResetError("the supervisor's descriptor store is gone")
        if descriptors:
            os.set_inheritable(descriptors[0], False)
        answer = json.loads(message)
        return answer, descriptors[0] if descriptors else None


def store_from_environment(environment: Mapping[str, str]) -> DescriptorStore:
    """Return the supervisor's store when it gave us one."""
    number = environment.get("INGOT_STORE_FD", "")
    if not number:
        _log.warning("there is no descriptor store: connections waiting at a restart of the host are lost")
        return NoStore()
    os.set_inheritable(int(number), False)
    return StoreClient(socket.socket(fileno=int(number)))
