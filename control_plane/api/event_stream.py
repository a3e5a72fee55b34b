"""The ASGI application behind `/api/v1/stream`: events and the logs of test runs as server-sent events.

A client resumes with Last-Event-ID (or `?after=`). Who may read is asked again
at each look-up, so a revoked session or a lost role ends its streams. A stream of
events looks only when something happened in its organization.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from control_plane.api.feeds import EventFeed, Feed, News, RunFeed
from control_plane.api.headers import SECURITY_HEADERS
from control_plane.api.release_feed import ReleaseFeed
from control_plane.api.request_ids import accepted_request_id
from control_plane.api.state import ApiOptions
from control_plane.api.stirrings import Stirrings
from control_plane.api.stream_credentials import credential_of
from control_plane.errors import IngotError, NotFound
from control_plane.services.events import Mark

if TYPE_CHECKING:
    from control_plane.bootstrap.streams import StreamServices

__all__ = ["StreamApp"]

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Look = Callable[[int], Awaitable[News]]

_POLL_S: Final = 0.5
# What ends by the clock alone, as a session does, is noticed this late at most.
_RECHECK_S: Final = 30.0
# Proxies cut connections on which nothing moves.
_HEARTBEAT_S: Final = 15.0
_RELEASES: Final = re.compile(r"/api/v1/stream/functions/([a-z0-9_-]{1,80})/releases")
_RUN: Final = re.compile(r"/api/v1/stream/functions/([a-z0-9_-]{1,80})/test-runs/([a-z0-9_]{1,80})")


class StreamApp:
    """Serves every stream."""

    def __init__(self, services: StreamServices, options: ApiOptions, poll_s: float = _POLL_S) -> None:
        self._services = services
        self._options = options
        self._poll_s = poll_s
        # Look-ups are short; the pool bounds how many connections the database sees.
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="stream")
        self._stirrings = Stirrings(lambda before: self._call(services.events.marks, before), poll_s / 2)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = accepted_request_id(headers.get("x-request-id"))
        try:
            feed = self._feed(scope["path"], scope["method"])
            text = credential_of(headers, self._options)
            after = _position(headers, scope.get("query_string", b""))
            organization, cursor = await self._call(self._first, feed, text, after, request_id)
        except IngotError as error:
            await _problem(send, error, scope["path"], request_id)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _headers(request_id)})

        seen: tuple[float, Mark | None] = (0.0, None)

        async def look(position: int) -> News:
            nonlocal seen
            mark = await self._stirrings.of(organization) if feed.journalled else None
            if mark is not None and mark == seen[1] and time.monotonic() - seen[0] < _RECHECK_S:
                return News((), position)
            found: News = await self._call(self._news, feed, text, position, request_id)
            # More is there already: it is no news that moves a mark.
            seen = time.monotonic(), None if found.more else mark
            return found

        pause_s = self._poll_s if feed.pause_s is None else min(feed.pause_s, self._poll_s)
        await self._stream(receive, send, look, cursor, pause_s)

    def _feed(self, path: str, method: str) -> Feed:
        run = _RUN.fullmatch(path)
        if method == "GET" and path == "/api/v1/stream":
            return EventFeed(self._services.events)
        if method == "GET" and run is not None:
            return RunFeed(self._services.runs, run[1], run[2])
        releases = _RELEASES.fullmatch(path)
        if method == "GET" and releases is not None:
            return ReleaseFeed(self._services.releases, releases[1])
        raise NotFound("There is no such stream.", hint="GET /api/v1/stream.")

    async def _stream(self, receive: Receive, send: Send, look: Look, cursor: int, pause_s: float) -> None:
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            # The browser waits this long before it comes back.
            await _write(send, b"retry: 2000\n\n")
            quiet_s = 0.0
            while not gone.done():
                news = await look(cursor)
                for chunk in news.chunks:
                    await _write(send, chunk)
                cursor = news.position
                if news.ended:
                    break
                quiet_s = 0.0 if news.chunks else quiet_s + pause_s
                if quiet_s >= _HEARTBEAT_S:
                    await _write(send, b": still here\n\n")
                    quiet_s = 0.0
                if not news.more:
                    await asyncio.wait({gone}, timeout=pause_s)
        except IngotError:
            await _write(send, b"event: end\ndata: {}\n\n")
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def _first(self, feed: Feed, text: str, after: int | None, request_id: str) -> tuple[str, int]:
        actor = self._services.sessions.authenticate(text, request=request_id)
        return actor.organization, feed.first(actor, after)

    def _news(self, feed: Feed, text: str, position: int, request_id: str) -> News:
        return feed.news(self._services.sessions.authenticate(text, request=request_id), position)


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
