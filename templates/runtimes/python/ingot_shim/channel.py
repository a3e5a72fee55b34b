"""One connection on the event loop: sends within a time, and notices when the peer leaves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from .answers import Answer, chunk_of, head_of
from .exchange import LAST_CHUNK, READ, Patience
from .http1 import Request
from .slots import Slot

__all__ = ["Channel"]

# A stream ends this long before the host would end the whole instance.
_MARGIN = 0.25


class Channel:
    """The way back to the caller of one request. At most one answer is sent."""

    def __init__(
        self, connection: socket.socket, request: Request, slot: Slot, patience: Patience, deadline: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._slot = slot
        self._patience = patience
        self.request = request
        self.deadline = deadline
        # True from the first byte of an answer on: a problem can no longer be told.
        self.started = False

    async def answer(self, answer: Answer, head: bytes) -> None:
        """Send a computed answer; the time that a slow peer takes is not the handler's."""
        self.started = True
        data = head if self.request.method == "HEAD" else head + answer.body
        try:
            sent = self._connection.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._slot.extend(self._patience.sending_ns)
            async with asyncio.timeout(self._patience.send):
                await self._loop.sock_sendall(self._connection, data[sent:])

    async def begin(self, answer: Answer) -> None:
        """Send the head of a stream. Raises BadHead."""
        head = head_of(answer, self.request.minor)
        await self.send(head)

    async def piece(self, data: bytes) -> None:
        """Send a piece of the stream."""
        if self.request.method != "HEAD":
            await self.send(chunk_of(data, self.request.minor))

    async def end(self) -> None:
        """Say that the stream is complete."""
        if self.request.minor and self.request.method != "HEAD":
            await self.send(LAST_CHUNK)

    async def send(self, data: bytes) -> None:
        """Send bytes within the call's time. Raises TimeoutError or ConnectionError."""
        self.started = True
        try:
            sent = self._connection.send(data, socket.MSG_NOSIGNAL) if data else 0
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            async with asyncio.timeout(max(0.0, self.deadline - _MARGIN - time.monotonic())):
                await self._loop.sock_sendall(self._connection, data[sent:])

    async def read(self) -> bytes:
        """Return what the peer sends next; empty when it is gone."""
        try:
            return await self._loop.sock_recv(self._connection, READ)
        except OSError:
            return b""

    async def hang_up(self) -> None:
        """Wait until the peer is gone; what it still sends is thrown away."""
        while await self.read():
            pass

    def shut(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
