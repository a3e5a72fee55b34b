"""Runs an ASGI 3 application: HTTP here, WebSocket in its own session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .answers import Answer, head_of
from .channel import Channel
from .handler import failure
from .http1 import Request
from .lifespan import Lifespan
from .mount import split_host, split_mount
from .problems import author_fault, caller_fault
from .websocket_session import WebSocketSession, wants_websocket

if TYPE_CHECKING:
    from .load import Loaded

__all__ = ["AsgiApplication"]


class AsgiApplication:
    """Answers by calling the author's application once for each request."""

    def __init__(self, loaded: Loaded, lifespan: Lifespan) -> None:
        self._loaded = loaded
        self._lifespan = lifespan
        self._sessions: set[WebSocketSession] = set()

    async def serve(self, channel: Channel) -> None:
        """Answer one request. Raises Problem or BadHead while nothing was sent."""
        request = channel.request
        if wants_websocket(request):
            if not self._loaded.streaming:
                raise caller_fault(400, "upgrade_refused", "This version does not speak WebSocket.")
            await self._converse(channel)
            return
        exchange = _Exchange(channel, self._loaded.streaming)
        scope = {"type": "http", "scheme": _scheme(request), **self._scope(request)}
        try:
            await self._loaded.target(scope, exchange.receive, exchange.send)
        except BaseException as error:  # noqa: BLE001 - SystemExit must not end the instance.
            if channel.started and isinstance(error, (ConnectionError, TimeoutError)):
                return
            raise failure(error, "The application raised an exception.") from None
        finally:
            exchange.over.set()
        if not exchange.complete:
            raise author_fault("handler_failed", "The application ended without a complete answer.")

    def leave(self) -> None:
        """Ask open WebSocket sessions to end, since the instance drains."""
        for session in self._sessions:
            session.leave()

    async def _converse(self, channel: Channel) -> None:
        session = WebSocketSession(channel)
        scheme = "wss" if _scheme(channel.request) == "https" else "ws"
        scope = {"type": "websocket", "scheme": scheme, **self._scope(channel.request), **session.scope()}
        self._sessions.add(session)
        try:
            await session.run(self._loaded.target, scope)
        finally:
            self._sessions.discard(session)

    def _scope(self, request: Request) -> dict[str, Any]:
        mount, _ = split_mount(request.path, self._loaded.path_name)
        return {
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": f"1.{request.minor}",
            "method": request.method,
            "path": request.path,
            "raw_path": request.raw_path.encode(),
            "query_string": request.query_string.encode(),
            "root_path": mount,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in request.headers],
            "client": None,
            "server": split_host(request.fields.get("host", "")),
            # Each request has a copy, as the specification wants it.
            "state": self._lifespan.state.copy(),
        }


class _Exchange:
    """One HTTP request's receive and send."""

    def __init__(self, channel: Channel, streaming: bool) -> None:
        self._channel = channel
        self._streaming = streaming
        self._body_given = False
        self._answer: Answer | None = None
        self._parts: list[bytes] = []
        self.complete = False
        self.over = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        """Give the body once, then wait until the peer leaves or the answer is complete."""
        if not self._body_given:
            self._body_given = True
            return {"type": "http.request", "body": self._channel.request.body, "more_body": False}
        waiting = [asyncio.ensure_future(self._channel.hang_up()), asyncio.ensure_future(self.over.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Take the application's answer."""
        kind = message["type"]
        if kind == "http.response.start" and self._answer is None:
            headers = [
                (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
                for name, value in message.get("headers", ())
            ]
            self._answer = Answer(message["status"], headers)
        elif kind == "http.response.body" and self._answer is not None and not self.complete:
            await self._body(self._answer, message.get("body", b""), bool(message.get("more_body")))
        elif not (kind == "http.response.body" and self.complete):
            raise RuntimeError(f"the message {kind!r} is out of turn here")

    async def _body(self, answer: Answer, data: bytes, more: bool) -> None:
        channel = self._channel
        if self._streaming and (more or channel.started):
            if not channel.started:
                answer.stream = iter(())
                await channel.begin(answer)
            await channel.piece(data)
            if not more:
                await channel.end()
        else:
            self._parts.append(data)
            if not more:
                answer.body = b"".join(self._parts)
                await channel.answer(answer, head_of(answer))
        if not more:
            self.complete = True
            # What the application still does in the background is not the caller's to wait for.
            channel.shut()
            self.over.set()


def _scheme(request: Request) -> str:
    return "https" if request.fields.get("x-forwarded-proto") == "https" else "http"
