"""Reads one HTTP/1.1 request from bytes: pure, without a socket or a clock.

`RequestReader.feed` takes whatever arrived and returns the request once it is
complete. It refuses everything ambiguous (RFC 9112): two lengths, a length
beside chunks, folded headers, bare line feeds, control characters.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from .problems import Problem, caller_fault

__all__ = ["HEAD_LIMIT", "LINE_LIMIT", "Request", "RequestReader"]

LINE_LIMIT = 16_384
HEAD_LIMIT = 65_536
_FIELD_LIMIT = 256
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) (/[\x21-\x7e]*|\*) HTTP/1\.([01])").fullmatch
_FIELDS = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+", re.DOTALL
).fullmatch
_LENGTH = re.compile(r"[0-9]{1,15}").fullmatch
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?").fullmatch


class Request:
    """One complete request. Header names are lower case, in the order they came."""

    __slots__ = ("body", "fields", "headers", "method", "minor", "rest", "target")

    def __init__(self, method: str, target: str, minor: int, headers: list[tuple[str, str]]) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.headers = headers
        # The last of several equal names wins here; lists are joined where it matters.
        self.fields = dict(headers)
        self.body: bytes = b""
        # What came after the request: frames of an upgraded connection.
        self.rest: bytes = b""

    @property
    def raw_path(self) -> str:
        """The path as it came."""
        return self.target.partition("?")[0]

    @property
    def path(self) -> str:
        """The path, percent-decoded as UTF-8."""
        return unquote_to_bytes(self.raw_path).decode("utf-8", "replace")

    @property
    def query_string(self) -> str:
        """What follows the question mark, as it came."""
        return self.target.partition("?")[2]

    def joined(self, name: str) -> str:
        """Return all values of a list header, joined by commas."""
        return ", ".join(value for key, value in self.headers if key == name)


def _parse_head(head: bytes) -> Request:
    line, _, fields = head.partition(b"\r\n")
    if len(line) > LINE_LIMIT:
        raise caller_fault(414, "bad_request", f"The request line is longer than {LINE_LIMIT} bytes.")
    match = _LINE(line)
    if match is None:
        raise caller_fault(400, "bad_request", "The first line is not an HTTP/1.1 request line.")
    if not _FIELDS(fields):
        raise caller_fault(400, "bad_request", "A header is malformed.")
    headers = []
    for field in fields.decode("latin-1").split("\r\n")[:-1]:
        name, _, value = field.partition(":")
        headers.append((name.lower(), value.strip(" \t")))
    if len(headers) > _FIELD_LIMIT:
        raise caller_fault(431, "bad_request", f"The request has more than {_FIELD_LIMIT} headers.")
    method, target, minor = match.groups()
    return Request(method.decode(), target.decode(), int(minor), headers)


class RequestReader:
    """Collects one request. Raises Problem when the bytes cannot become one."""

    def __init__(self, body_limit: int) -> None:
        self._limit = body_limit
        self._buffer = bytearray()
        self._request: Request | None = None
        self._length = 0
        self._chunks: _Chunks | None = None
        # True while the client waits for `100 Continue` before it sends the body.
        self.wants_continue = False

    @property
    def request(self) -> Request | None:
        """The request as soon as its head is known, for the id in an error."""
        return self._request

    @property
    def started(self) -> bool:
        """Whether anything came at all."""
        return bool(self._buffer) or self._request is not None

    def feed(self, data: bytes) -> Request | None:
        """Take bytes; return the request when it is complete."""
        buffer = self._buffer
        buffer += data
        if self._request is None:
            end = buffer.find(b"\r\n\r\n", max(0, len(buffer) - len(data) - 3))
            if end < 0:
                _check_growing_head(buffer)
                return None
            if end > HEAD_LIMIT:
                raise _head_too_large()
            self._request = request = _parse_head(bytes(buffer[: end + 2]))
            del buffer[: end + 4]
            self._frame(request)
            if not self._length and self._chunks is None:
                request.rest = bytes(buffer)
                return request
        return self._body(self._request)

    def _frame(self, request: Request) -> None:
        """Find out how the body ends. Raises Problem when that is ambiguous."""
        lengths = [value for name, value in request.headers if name == "content-length"]
        coding = request.joined("transfer-encoding")
        if coding:
            if lengths or request.minor == 0 or coding.lower() != "chunked":
                raise caller_fault(
                    400, "bad_request", "Only `chunked` alone is understood as Transfer-Encoding."
                )
            self._chunks = _Chunks(self._limit)
        elif lengths:
            if len(lengths) > 1 or not _LENGTH(lengths[0]):
                raise caller_fault(400, "bad_request", "Content-Length is not one whole number.")
            self._length = int(lengths[0])
            if self._length > self._limit:
                raise _body_too_large(self._limit)
        expects = request.fields.get("expect", "").lower() == "100-continue"
        self.wants_continue = expects and request.minor == 1

    def _body(self, request: Request) -> Request | None:
        buffer = self._buffer
        if self._chunks is not None:
            body = self._chunks.feed(buffer)
            if body is None:
                return None
            request.body = body
            return request
        if len(buffer) < self._length:
            return None
        request.body = bytes(buffer[: self._length])
        return request


class _Chunks:
    """Decodes a chunked body; trailers are read and dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._body = bytearray()
        self._missing = 0
        self._trailers = 0
        self._framing = 0
        self._state = "size"

    def feed(self, buffer: bytearray) -> bytes | None:
        """Take what the buffer holds of the body; return it all at its end."""
        while True:
            if self._state == "data":
                part = buffer[: self._missing]
                del buffer[: len(part)]
                self._body += part
                self._missing -= len(part)
                if self._missing:
                    return None
                self._state = "end"
            line = self._line(buffer)
            if line is None:
                return None
            if self._state == "end":
                if line:
                    raise _bad_chunk()
                self._state = "size"
            elif self._state == "size":
                self._size(line)
            elif not line:
                return bytes(self._body)
            else:
                self._trailer(line)

    def _line(self, buffer: bytearray) -> bytes | None:
        end = buffer.find(b"\r\n")
        if end > 4096 or (end < 0 and len(buffer) > 4096):
            raise _bad_chunk()
        if end < 0:
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 2]
        # A body of one-byte chunks, or of long extensions, would cost us far more than its sender.
        self._framing += len(line) + 2
        if self._framing > HEAD_LIMIT + len(self._body):
            raise _bad_chunk()
        return line

    def _size(self, line: bytes) -> None:
        match = _CHUNK(line)
        if match is None:
            raise _bad_chunk()
        self._missing = int(match.group(1), 16)
        if len(self._body) + self._missing > self._limit:
            raise _body_too_large(self._limit)
        self._state = "data" if self._missing else "trailers"

    def _trailer(self, line: bytes) -> None:
        self._trailers += len(line)
        if self._trailers > HEAD_LIMIT or not _FIELDS(line + b"\r\n"):
            raise _bad_chunk()


def _check_growing_head(buffer: bytearray) -> None:
    if len(buffer) > LINE_LIMIT and b"\r\n" not in buffer[: LINE_LIMIT + 2]:
        raise caller_fault(414, "bad_request", f"The request line is longer than {LINE_LIMIT} bytes.")
    if len(buffer) > HEAD_LIMIT:
        raise _head_too_large()


def _head_too_large() -> Problem:
    return caller_fault(431, "bad_request", f"The headers take more than {HEAD_LIMIT} bytes.")


def _body_too_large(limit: int) -> Problem:
    return caller_fault(413, "body_too_large", f"The body is larger than {limit} bytes.")


def _bad_chunk() -> Problem:
    return caller_fault(400, "bad_request", "The chunked body is malformed.")
