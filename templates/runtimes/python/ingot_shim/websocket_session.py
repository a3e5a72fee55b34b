"""One WebSocket of an ASGI application: handshake, messages both ways, closing."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from .answers import Answer, BadHead, head_of
from .channel import Channel
from .handler import failure
from .http1 import Request
from .problems import Problem, caller_fault
from .websocket_frames import BINARY, PONG, TEXT, Frames, Message, ProtocolError, close_frame, frame

__all__ = ["WebSocketSession", "wants_websocket"]

MESSAGE_LIMIT = 1_048_576
_WAITING_MESSAGES = 16
_CLOSE_SECONDS = 5.0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Browsers can send a key only as a subprotocol; it is not the application's to see.
_KEY_PROTOCOL = "ingot.key."
_PLAIN_PROTOCOL = "ingot"


def wants_websocket(request: Request) -> bool:
    """Say whether the request asks for a WebSocket, well-formed or not."""
    return request.fields.get("upgrade", "").lower() == "websocket"


class WebSocketSession:
    """Lives as long as the connection."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._accept = _accept_value(channel.request)
        offered = [item.strip() for item in channel.request.joined("sec-websocket-protocol").split(",")]
        self._offered = [item for item in offered if item and not item.startswith(_KEY_PROTOCOL)]
        self._frames = Frames(MESSAGE_LIMIT)
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING_MESSAGES)
        self._inbox.put_nowait({"type": "websocket.connect"})
        self._reader: asyncio.Task[None] | None = None
        self._gone: dict[str, Any] | None = None
        self._closed = False
        self._refused = False

    def scope(self) -> dict[str, Any]:
        """Return what this session adds to or replaces in the scope."""
        headers = [
            (name.encode(), value.encode("latin-1"))
            for name, value in self._channel.request.headers
            if name != "sec-websocket-protocol"
        ]
        if self._offered:
            headers.append((b"sec-websocket-protocol", ", ".join(self._offered).encode("latin-1")))
        return {"subprotocols": list(self._offered), "headers": headers}

    async def run(self, application: Callable[..., Awaitable[None]], scope: dict[str, Any]) -> None:
        """Run the application until it ends, then close. Raises Problem before the handshake."""
        try:
            await application(scope, self.receive, self.send)
        except BaseException as error:  # noqa: BLE001 - SystemExit must not end the instance.
            gone = self._gone is not None and isinstance(error, OSError)
            problem = None if gone else failure(error, "The application raised an exception.")
            if problem is not None and self._reader is None and not self._refused:
                raise problem from None
            await self._close(1000 if gone else 1011, "")
        else:
            if self._reader is None and not self._refused:
                await self._refuse()
            await self._close(1000, "")
        finally:
            if self._reader is not None:
                await self._part(self._reader)

    def leave(self) -> None:
        """Tell the application that the instance drains: its peer will see 1001."""
        if self._reader is not None and self._gone is None:
            self._reader.cancel()
            self._end(1001, "the instance leaves")

    async def receive(self) -> dict[str, Any]:
        """Return the next message for the application."""
        if self._inbox.empty() and self._gone is not None:
            return self._gone
        message = await self._inbox.get()
        return self._gone or message if message["type"] == "ended" else message

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message of the application. Raises OSError when the peer is gone."""
        kind = message["type"]
        if kind == "websocket.accept" and self._reader is None:
            await self._shake(message)
        elif kind == "websocket.close":
            await self._close_or_refuse(message)
        elif kind == "websocket.send" and self._reader is not None:
            if self._gone is not None or self._closed:
                raise ConnectionResetError("the WebSocket is closed")
            text = message.get("text")
            data = frame(BINARY, message["bytes"]) if text is None else frame(TEXT, text.encode())
            await self._channel.send(data)
        else:
            raise RuntimeError(f"the message {kind!r} is out of turn here")

    async def _shake(self, message: dict[str, Any]) -> None:
        chosen = message.get("subprotocol")
        if chosen is not None and chosen not in self._offered:
            raise RuntimeError(f"the subprotocol {chosen!r} was not offered")
        if chosen is None and _PLAIN_PROTOCOL in self._offered:
            # A browser that offered protocols hangs up when none is chosen.
            chosen = _PLAIN_PROTOCOL
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines.append(f"Sec-WebSocket-Accept: {self._accept}")
        if chosen is not None:
            lines.append(f"Sec-WebSocket-Protocol: {chosen}")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n" + _extra_headers(message.get("headers", ()))
        await self._channel.send(head)
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        """Move messages to the application, and answer pings; stops when it does not keep up."""
        data = self._channel.request.rest
        try:
            while True:
                for message in self._frames.feed(data):
                    if await self._handle(message):
                        return
                # A read that finds bytes does not wait: a flood must not starve the other calls.
                await asyncio.sleep(0)
                data = await self._channel.read()
                if not data:
                    self._end(1006, "")
                    return
        except ProtocolError as error:
            await self._close(error.code, str(error))
            self._end(error.code, str(error))
        except OSError:
            self._end(1006, "")

    async def _handle(self, message: Message) -> bool:
        if message.kind == "close":
            await self._close(message.code, "")
            self._end(message.code, str(message.data))
            return True
        if message.kind == "ping":
            await self._channel.send(frame(PONG, bytes(message.data)))  # type: ignore[arg-type]
        elif message.kind in ("text", "binary"):
            key = "text" if message.kind == "text" else "bytes"
            await self._inbox.put({"type": "websocket.receive", key: message.data})
        return False

    def _end(self, code: int, reason: str) -> None:
        self._gone = {"type": "websocket.disconnect", "code": code, "reason": reason}
        if not self._inbox.full():
            # Wakes a receive that waits; one that has messages left takes those first.
            self._inbox.put_nowait({"type": "ended"})

    async def _close(self, code: int, reason: str) -> None:
        """Send a close frame, once."""
        if self._closed or self._reader is None:
            return
        self._closed = True
        try:
            await self._channel.send(close_frame(self._code(code), reason))
        except OSError:
            return

    async def _part(self, reader: asyncio.Task[None]) -> None:
        """Give the peer time for its own close frame, unless it said or did that already."""
        if self._gone is None:
            # Nobody reads the messages any more: a full queue must not hide the close behind them.
            while not self._inbox.empty():
                self._inbox.get_nowait()
            await asyncio.wait([reader], timeout=_CLOSE_SECONDS)
        reader.cancel()

    def _code(self, code: int) -> int:
        return self._gone["code"] if self._gone is not None and code == 1000 else code

    async def _close_or_refuse(self, message: dict[str, Any]) -> None:
        if self._reader is None:
            await self._refuse()
            return
        await self._close(int(message.get("code") or 1000), str(message.get("reason") or ""))

    async def _refuse(self) -> None:
        """Answer the handshake with 403: the application closed before it accepted."""
        self._refused = True
        problem = Problem(403, "upgrade_refused", "author", "The application refused the WebSocket.")
        answer = problem.answer(self._channel.request.fields.get("x-request-id", "")[:128])
        await self._channel.answer(answer, head_of(answer))


def _accept_value(request: Request) -> str:
    """Return Sec-WebSocket-Accept. Raises Problem when the handshake is malformed."""
    options = [item.strip().lower() for item in request.joined("connection").split(",")]
    if request.method != "GET" or request.minor != 1 or "upgrade" not in options:
        raise caller_fault(400, "upgrade_refused", "The WebSocket handshake is malformed.")
    if request.fields.get("sec-websocket-version") != "13":
        raise Problem(
            426,
            "upgrade_refused",
            "caller",
            "Only WebSocket version 13 is spoken.",
            headers=(("Sec-WebSocket-Version", "13"),),
        )
    key = request.fields.get("sec-websocket-key", "")
    try:
        complete = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        complete = False
    if not complete:
        raise caller_fault(400, "upgrade_refused", "Sec-WebSocket-Key is malformed.")
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324 - the RFC's.


def _extra_headers(headers: Any) -> bytes:
    """Return the application's headers with the end of the head, checked as any answer's. Raises BadHead."""
    pairs = [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers]
    reserved = [name for name, _ in pairs if name.lower().startswith("sec-websocket-")]
    if reserved:
        raise BadHead(f"the header {reserved[0]!r} belongs to the handshake")
    head = head_of(Answer(204, pairs))
    lines = [line for line in head.split(b"\r\n")[1:] if line != b"Connection: close"]
    return b"\r\n".join(lines)
