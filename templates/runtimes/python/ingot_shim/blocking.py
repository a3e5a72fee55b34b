"""Serves requests one after the other on the thread that runs it: the fastest path.

Used by synchronous handlers and WSGI applications, in one thread or in
several that share the listener.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import select
import socket
import time
from collections.abc import Iterator
from typing import Any, Protocol

from .answers import Answer, chunk_of, head_of
from .context import request_id_of
from .exchange import CONTINUE, LAST_CHUNK, READ, Entrance, Patience, hung_up, is_shut, refusal, too_slow
from .handler import failure
from .http1 import Request, RequestReader
from .logpipe import current_request
from .problems import Problem
from .slots import Slot

__all__ = ["Application", "BlockingServer"]

_log = logging.getLogger("ingot")
_DONTWAIT = socket.MSG_DONTWAIT
_SEND = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_PASSING = (errno.EAGAIN, errno.ECONNABORTED, errno.EINTR)
# A stream ends this long before the host would end the whole instance.
_MARGIN = 0.25


class Application(Protocol):
    """What answers a request: a handler or a WSGI application."""

    def respond(self, request: Request, deadline: float) -> Answer:
        """Return the answer. May raise Problem or anything else."""
        ...


class BlockingServer:
    """One thread's server."""

    def __init__(
        self,
        application: Application,
        listener: socket.socket,
        slot: Slot,
        *,
        timeout_ms: int,
        entrance: Entrance,
        patience: Patience,
    ) -> None:
        self._application = application
        self._listener = listener
        self._slot = slot
        self._timeout = timeout_ms / 1000
        self._timeout_ns = timeout_ms * 1_000_000
        self._entrance = entrance
        self._patience = patience

    def accept(self) -> bool:
        """Serve the next connection, if another instance did not take it; False: the listener is dead."""
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _PASSING and not is_shut(self._listener.fileno()):
                return True
            # The host shut it down, or the author's code used up all descriptors: start anew.
            _log.error("cannot accept: %s", error)
            return False
        # The peer may be gone or too slow; then there is nobody left to tell.
        with connection, contextlib.suppress(OSError):
            self._converse(connection)
        return True

    def _converse(self, connection: socket.socket) -> None:
        slot = self._slot
        request = None
        slot.begin(self._patience.receiving_ns)
        try:
            request = self._arrived(connection)
            if request is not None:
                slot.extend(self._timeout_ns)
                self._answer(connection, request)
        finally:
            slot.end(served=request is not None)

    def _arrived(self, connection: socket.socket) -> Request | None:
        """Return the request; None when it was refused or nobody waits for its answer."""
        reader = RequestReader(self._entrance.body_limit)
        try:
            request = self._receive(connection, reader)
            self._entrance.check(request)
        except Problem as problem:
            head, answer = refusal(problem, reader.request)
            self._send(connection, head + answer.body)
            self._linger(connection)
            return None
        return None if request is None or hung_up(connection.fileno()) else request

    def _receive(self, connection: socket.socket, reader: RequestReader) -> Request | None:
        start = time.monotonic()
        while True:
            try:
                data = connection.recv(READ, _DONTWAIT)
            except BlockingIOError:
                data = None
            if data == b"":
                return None
            request = reader.feed(data) if data else None
            if request is not None:
                return request
            if reader.wants_continue:
                reader.wants_continue = False
                connection.send(CONTINUE, _SEND)
            allowed = self._patience.head if reader.request is None else self._patience.body
            if not _wait(connection, select.POLLIN, start + allowed):
                raise too_slow()

    def _answer(self, connection: socket.socket, request: Request) -> None:
        deadline = time.monotonic() + self._timeout
        token = current_request.set(request_id_of(request))
        try:
            try:
                answer = self._application.respond(request, deadline)
                head = head_of(answer, request.minor)
                if answer.stream is not None:
                    answer.stream = _begun(answer.stream)
            except BaseException as error:  # noqa: BLE001 - whatever the author's objects raise.
                head, answer = refusal(error, request)
            if answer.stream is not None:
                self._stream(connection, request, head, answer.stream, deadline - _MARGIN)
            else:
                self._send(connection, head if request.method == "HEAD" else head + answer.body)
        finally:
            current_request.reset(token)

    def _stream(
        self, connection: socket.socket, request: Request, head: bytes, stream: Any, until: float
    ) -> None:
        try:
            _send_all(connection, head, until)
            while request.method != "HEAD":
                try:
                    data = next(stream, None)
                    piece = LAST_CHUNK if data is None else chunk_of(data, request.minor)
                except BaseException as error:  # noqa: BLE001 - the head is out: cutting off is all that is left.
                    failure(error, "The answer's stream broke off.")
                    return
                if data is not None or request.minor:
                    _send_all(connection, piece, until)
                if data is None:
                    return
        finally:
            _close(stream)

    def _send(self, connection: socket.socket, data: bytes) -> None:
        """Send a computed answer; the time that a slow peer takes is not the handler's."""
        try:
            sent = connection.send(data, _SEND)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._slot.extend(self._patience.sending_ns)
            _send_all(connection, data[sent:], time.monotonic() + self._patience.send)

    def _linger(self, connection: socket.socket) -> None:
        """Read on a little after a refusal, or the peer's unread bytes would reset its answer."""
        connection.shutdown(socket.SHUT_WR)
        until = time.monotonic() + min(0.5, self._patience.body)
        for _ in range(64):
            if not _wait(connection, select.POLLIN, until) or not connection.recv(READ, _DONTWAIT):
                return


def _begun(stream: Any) -> Iterator[bytes]:
    """Compute the first piece, so that a failure before it is an answer of its own."""
    first = next(stream, None)
    return _resumed(first, stream)


def _resumed(first: bytes | None, stream: Any) -> Iterator[bytes]:
    with contextlib.closing(stream):
        if first is not None:
            yield first
            yield from stream


def _close(stream: Any) -> None:
    """End a stream early; what the author's clean-up raises goes to the log."""
    try:
        stream.close()
    except BaseException as error:  # noqa: BLE001
        failure(error, "The answer's stream failed while it was closed.")


def _wait(connection: socket.socket, event: int, until: float) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), event)
    left = until - time.monotonic()
    return left > 0 and bool(poll.poll(left * 1000))


def _send_all(connection: socket.socket, data: bytes, until: float) -> None:
    """Send everything by a moment. Raises TimeoutError or ConnectionError."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[connection.send(rest, _SEND) :]
        except BlockingIOError:
            if not _wait(connection, select.POLLOUT, until):
                raise TimeoutError("the peer does not read its answer") from None
