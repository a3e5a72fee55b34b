"""The door of the platform's consumers: a broker brings events here, and nobody else may.

Of an event only its id is used, and only to find the same event where it was
committed: whoever gets in can neither make up a fact nor change one. An answer
is always empty, as a broker takes any other for a reply.
"""

from __future__ import annotations

import hmac
import re
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from control_plane.process import log_to_stderr

__all__ = ["Receiver", "event_id"]

_PATH: Final = re.compile(r"/consumers/([a-z]{1,40})/([0-9a-f]{64})")
_ID: Final = re.compile(r"evt_[0-9a-z]{10,40}", re.IGNORECASE)
_LARGEST: Final = 64 * 1024
_TIMEOUT_S: Final = 10.0
# A broker keeps a few connections; each is a thread.
_CONNECTIONS: Final = 64


class Receiver:
    """Listens until it is closed. A consumer that fails is said to the broker, which comes again."""

    def __init__(
        self,
        address: tuple[str, int],
        source: str,
        tokens: Mapping[str, str],
        take: Callable[[str, str], bool],
    ) -> None:
        """`tokens` are by consumer; `take` lets a consumer work on an event of ours. Raises OSError."""
        self.source, self.tokens, self.take = source, tokens, take
        handler = type("Handler", (_Handler,), {"receiver": self})
        self._server = _Server(address, handler)
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Listen no more; what is being worked on is not waited for."""
        self._server.shutdown()
        self._server.server_close()


def event_id(headers: Mapping[str, str], body: bytes, source: str) -> str:
    """Return the id of an event of ours, in binary or structured mode. Raises ValueError for any other."""
    try:
        event: BaseCloudEvent = from_http_event(HTTPMessage(headers=dict(headers), body=body))
        known = str(event.get_id()), event.get_source()
    except Exception as error:
        raise ValueError("This is no CloudEvent.") from error
    if known[1] != source:
        raise ValueError("The event is not of this Ingot.")
    if not _ID.fullmatch(known[0]):
        raise ValueError("The event has no id of ours.")
    return known[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._room = threading.BoundedSemaphore(_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread; close it where there are too many."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a connection that breaks off is nobody's fault here."""


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver
    timeout = _TIMEOUT_S
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ingot", ""

    def do_POST(self) -> None:
        """Take one event."""
        self._answer(self._status())

    def _status(self) -> int:
        consumer = self._consumer()
        if consumer is None:
            return 403
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal():
            return 411
        if int(length[:10]) > _LARGEST:
            return 413
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            event = event_id(headers, self.rfile.read(int(length)), self.receiver.source)
        except ValueError:
            # Neither of these changes when it is sent again.
            return 400
        try:
            self.receiver.take(consumer, event)
        except Exception as error:  # noqa: BLE001 - whatever a consumer met, the broker comes again
            log_to_stderr("worker", "error", "a consumer failed", consumer=consumer, error=repr(error))
            return 503
        return 202

    def _consumer(self) -> str | None:
        found = _PATH.fullmatch(self.path)
        if found is None:
            return None
        token = self.receiver.tokens.get(found[1], "")
        # Compared in any case, so that names cannot be found by the time that an answer takes.
        return found[1] if hmac.compare_digest(token, found[2]) else None

    def _answer(self, status: int) -> None:
        self.close_connection = status != 202
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing of what anybody sends: the path holds a token."""
