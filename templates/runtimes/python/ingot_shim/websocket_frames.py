"""WebSocket frames (RFC 6455), server side: pure, bytes in, messages out.

Everything a peer may do wrong ends in ProtocolError with the close code to
send. No extensions are spoken.
"""

from __future__ import annotations

import codecs
import struct
from dataclasses import dataclass

__all__ = ["Frames", "Message", "ProtocolError", "close_frame", "frame"]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTROL_LIMIT = 125
# Codes a peer may send: those of the RFC and its registry, libraries' and applications' own.
_RECEIVABLE = frozenset([1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)])


class ProtocolError(Exception):
    """The peer broke the protocol. `code` is the close code for it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    """`kind` is text, binary, ping, pong or close; a close carries its code."""

    kind: str
    data: str | bytes
    code: int = 1005


class Frames:
    """Collects frames into messages."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._opcode = 0
        self._message = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text: list[str] = []
        self._closed = False

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes; return the messages they complete. Raises ProtocolError."""
        if self._closed:
            return []
        self._buffer += data
        messages = []
        while not self._closed and (parsed := self._next_frame()) is not None:
            message = self._take(*parsed)
            if message is not None:
                messages.append(message)
        return messages

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if first & 0x70:
            raise ProtocolError(1002, "a reserved bit is set")
        if not second & 0x80:
            raise ProtocolError(1002, "a client's frame is not masked")
        start, length = 2, second & 0x7F
        if length > _CONTROL_LIMIT:
            size = 2 if length == 126 else 8
            start += size
            if first & 8:
                raise ProtocolError(1002, "a control frame is too long")
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
            if length <= (_CONTROL_LIMIT if size == 2 else 0xFFFF) or length >> 63:
                raise ProtocolError(1002, "a length is not in its shortest form")
        self._check(first, length)
        if len(buffer) < start + 4 + length:
            return None
        mask = bytes(buffer[start : start + 4])
        payload = bytes(buffer[start + 4 : start + 4 + length])
        del buffer[: start + 4 + length]
        return bool(first & 0x80), first & 0x0F, _unmasked(payload, mask)

    def _check(self, first: int, length: int) -> None:
        """Refuse what cannot become right before its payload is collected."""
        final, opcode = first & 0x80, first & 0x0F
        if opcode not in (0, TEXT, BINARY, CLOSE, PING, PONG):
            raise ProtocolError(1002, "an unknown kind of frame")
        if opcode & 8:
            if not final:
                raise ProtocolError(1002, "a control frame is fragmented")
        elif (opcode == 0) != (self._opcode != 0):
            raise ProtocolError(1002, "a message within a message, or a continuation of none")
        elif len(self._message) + length > self._limit:
            raise ProtocolError(1009, "the message is too large")

    def _take(self, final: bool, opcode: int, payload: bytes) -> Message | None:
        if opcode == CLOSE:
            self._closed = True
            return _closing(payload)
        if opcode in (PING, PONG):
            return Message("ping" if opcode == PING else "pong", payload)
        self._opcode = self._opcode or opcode
        self._message += payload
        if self._opcode == TEXT:
            try:
                # Checked piece by piece, so that bad text ends early.
                text = self._decoder.decode(payload, final)
            except UnicodeDecodeError:
                raise ProtocolError(1007, "text is not UTF-8") from None
            # Endless empty fragments must not pile up.
            self._text += [text] if text else []
        if not final:
            return None
        kind: tuple[str, str | bytes] = ("binary", bytes(self._message))
        if self._opcode == TEXT:
            kind = ("text", "".join(self._text))
        self._opcode = 0
        self._message.clear()
        self._text.clear()
        return Message(*kind)


def frame(opcode: int, payload: bytes) -> bytes:
    """Return one unfragmented, unmasked frame."""
    length = len(payload)
    if length <= _CONTROL_LIMIT:
        head = struct.pack(">BB", 0x80 | opcode, length)
    elif length <= 0xFFFF:
        head = struct.pack(">BBH", 0x80 | opcode, 126, length)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, length)
    return head + payload


def close_frame(code: int, text: str = "") -> bytes:
    """Return a close frame; the reason is cut to what fits, at a whole character."""
    if code not in _RECEIVABLE:
        return frame(CLOSE, b"")
    cut = text.encode("utf-8", "replace")[: _CONTROL_LIMIT - 2].decode("utf-8", "ignore")
    return frame(CLOSE, struct.pack(">H", code) + cut.encode())


def _closing(payload: bytes) -> Message:
    if not payload:
        return Message("close", "", 1005)
    if len(payload) == 1:
        raise ProtocolError(1002, "a close code of one byte")
    code = int.from_bytes(payload[:2], "big")
    if code not in _RECEIVABLE:
        raise ProtocolError(1002, "a close code that may not be sent")
    try:
        return Message("close", payload[2:].decode(), code)
    except UnicodeDecodeError:
        raise ProtocolError(1007, "a close reason that is not UTF-8") from None


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    """Undo the mask; as one large number, since a loop over bytes is fifty times slower."""
    length = len(payload)
    repeated = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(length, "big")
