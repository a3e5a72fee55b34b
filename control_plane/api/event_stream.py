"""The ASGI application behind `/api/v1/stream`: an organization's events as server-sent events.

A client resumes with Last-Event-ID (or `?after=`). Who may read is asked again
at each look-up, so a revoked session or a lost role ends its streams.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from control_plane.api.headers import SECURITY_HEADERS
from control_plane.api.request_ids import accepted_request_id
from control_plane.api.schemas import timestamp
from control_plane.api.state import ApiOptions
from control_plane.api.stream_credentials import credential_of
from control_plane.domain.events import Event
from control_plane.errors import Forbidden, IngotError, NotFound, Unauthenticated

if TYPE_CHECKING:
    from control_plane.bootstrap.streams import StreamServices

__all__ = ["StreamApp", "render_event"]

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]

_POLL_S: Final = 0.5
# Proxies cut connections on which nothing moves.
_HEARTBEAT_S: Final = 15.0
_BATCH: Final = 100


class StreamApp:
    """Serves the one stream and says whether the process lives."""

    def __init__(self, services: StreamServices, options: ApiOptions, poll_s: float = _POLL_S) -> None:
        self._services = services
        self._options = options
        self._poll_s = poll_s
        # Look-ups are short; the pool bounds how many connections the database sees.
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="stream")

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = accepted_request_id(headers.get("x-request-id"))
        try:
            if scope["path"] != "/api/v1/stream" or scope["method"] != "GET":
                raise NotFound("There is no such stream.", hint="GET /api/v1/stream.")
            text = credential_of(headers, self._options)
            after = _position(headers, scope.get("query_string", b""))
            cursor = await self._call(self._first, text, after, request_id)
        except IngotError as error:
            await _problem(send, error, scope["path"], request_id)
            return
        await self._stream(receive, send, text, cursor, request_id)

    async def _stream(self, receive: Receive, send: Send, text: str, cursor: int, request_id: str) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _headers(request_id)})
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            # The browser waits this long before it comes back.
            await _write(send, b"retry: 2000\n\n")
            quiet_s = 0.0
            while not gone.done():
                events = await self._call(self._after, text, cursor, request_id)
                for event in events:
                    await _write(send, render_event(event))
                    cursor = event.sequence
                quiet_s = 0.0 if events else quiet_s + self._poll_s
                if quiet_s >= _HEARTBEAT_S:
                    await _write(send, b": still here\n\n")
                    quiet_s = 0.0
                if len(events) < _BATCH:
                    await asyncio.wait({gone}, timeout=self._poll_s)
        except (Unauthenticated, Forbidden):
            await _write(send, b"event: end\ndata: {}\n\n")
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def _first(self, text: str, after: int | None, request_id: str) -> int:
        actor = self._services.sessions.authenticate(text, request=request_id)
        latest = self._services.events.latest(actor)
        return latest if after is None else after

    def _after(self, text: str, cursor: int, request_id: str) -> tuple[Event, ...]:
        actor = self._services.sessions.authenticate(text, request=request_id)
        return self._services.events.after(actor, cursor, limit=_BATCH)


def render_event(event: Event) -> bytes:
    """Return one event in the stream's format; its id is where a client resumes."""
    body = {
        "sequence": event.sequence,
        "id": event.id,
        "type": event.type,
        "subject": event.subject,
        "time": timestamp(event.time_ms),
        "data": dict(event.data),
    }
    return f"id: {event.sequence}\nevent: {event.type}\ndata: {json.dumps(body)}\n\n".encode()


def _position(headers: Mapping[str, str], query: bytes) -> int | None:
    """Return the sequence number to continue behind; None begins with what comes next."""
    sent = headers.get("last-event-id") or parse_qs(query.decode("latin-1")).get("after", [""])[0]
    return int(sent) if sent.isascii() and sent.isdecimal() and len(sent) <= 18 else None


def _headers(request_id: str) -> list[tuple[bytes, bytes]]:
    sent = {
        **SECURITY_HEADERS,
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Request-Id": request_id,
    }
    return [(name.lower().encode(), value.encode()) for name, value in sent.items()]


async def _problem(send: Send, error: IngotError, path: str, request_id: str) -> None:
    body = {
        "type": f"/docs/errors#{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.message,
        "instance": path,
        "code": error.code,
        "request_id": request_id,
        "errors": [],
        **({"hint": error.hint} if error.hint else {}),
    }
    headers = [
        (name, b"application/problem+json" if name == b"content-type" else value)
        for name, value in _headers(request_id)
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


async def _write(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
