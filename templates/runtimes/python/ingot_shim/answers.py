"""An answer and its bytes on the wire.

Pure: values in, bytes out. Everything an author can put into a head is
checked here, so no other module has to think of header injection.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["HEAD_LIMIT", "Answer", "BadHead", "chunk_of", "head_of", "reason"]

# The gateway's buffer for a response head is 16 kB less its own rewrites.
HEAD_LIMIT = 12_000
# Not by `http.client` and `email.utils`, which a container would load at each start for these alone.
_PHRASES = {int(status): status.phrase for status in HTTPStatus}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*").fullmatch
# Framing belongs to the shim: what an author says about it would be a lie or a smuggled answer.
_FRAMING = frozenset(
    [
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)


class BadHead(ValueError):
    """The author's status or headers cannot stand in an answer."""


@dataclass(slots=True)
class Answer:
    """Status, headers and a body: bytes when computed, an iterator when streamed."""

    status: int
    headers: Iterable[tuple[str, str]]
    body: bytes = b""
    stream: Iterator[bytes] | AsyncIterator[bytes] | None = None


def reason(status: int) -> str:
    """Return the phrase of a status, or `Unknown`."""
    return _PHRASES.get(status, "Unknown")


def head_of(answer: Answer, minor: int = 1) -> bytes:
    """Return the head for a request of HTTP/1.`minor`, with its framing. Raises BadHead."""
    status = answer.status
    if type(status) is not int or not 200 <= status <= 599:
        raise BadHead(f"the status must be a whole number from 200 to 599, not {status!r:.40}")
    lines = [f"HTTP/1.1 {status} {reason(status)}"]
    for name, value in answer.headers:
        if not isinstance(name, str) or not isinstance(value, str):
            raise BadHead("the names and values of headers must be text")
        if not _NAME(name):
            raise BadHead(f"{name!r:.60} is not the name of a header")
        if not _VALUE(value):
            raise BadHead(f"the value of the header {name!r:.60} holds a control character or line break")
        if name.lower() not in _FRAMING:
            lines.append(f"{name}: {value}")
    if answer.stream is not None:
        # HTTP/1.0 knows no chunks: there the end of the connection ends the body.
        lines += ["Transfer-Encoding: chunked"] if minor else []
    elif status not in (204, 304):
        lines.append(f"Content-Length: {len(answer.body)}")
    lines.append(f"Date: {_date()}\r\nConnection: close\r\n\r\n")
    return _encoded("\r\n".join(lines))


def chunk_of(data: bytes, minor: int = 1) -> bytes:
    """Return a piece of a streamed body, framed; empty data would end the body and gives nothing."""
    if not data or not minor:
        return data
    return b"%x\r\n%b\r\n" % (len(data), data)


def _encoded(text: str) -> bytes:
    try:
        head = text.encode("latin-1")
    except UnicodeEncodeError:
        raise BadHead("headers may hold Latin-1 characters only; percent-encode others") from None
    if len(head) > HEAD_LIMIT:
        raise BadHead(f"the head of the answer takes {len(head)} bytes; at most {HEAD_LIMIT} are allowed")
    return head


_last_date: tuple[int, str] = (0, "")


def _date() -> str:
    """Return the present HTTP date, formatted once a second."""
    global _last_date  # noqa: PLW0603 - one cell, replaced whole, so threads see an old or a new one.
    now = int(time.time())
    second, text = _last_date
    if second != now:
        at = time.gmtime(now)
        day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
        clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
        text = f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} {clock} GMT"
        _last_date = (now, text)
    return text
