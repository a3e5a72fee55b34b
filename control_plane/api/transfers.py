"""Sends files, whole or in parts, and bounds how many are sent and fetched at once.

Which part is meant decides `domain.byte_ranges`; who may fetch what, the service.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import IO, Final

from flask import Response, request

from control_plane.domain.byte_ranges import asked_part
from control_plane.errors import TooMany

__all__ = ["Transfer", "begin_transfer", "end_transfer", "part_response"]

_CHUNK: Final = 1 << 18
# Of the 24 threads with which each process answers; slow senders must leave some to everybody else.
_TRANSFERS: Final = 8
_transfers = threading.BoundedSemaphore(_TRANSFERS)


def begin_transfer() -> None:
    """Take one of the places for transfers. Raises TooMany."""
    if not _transfers.acquire(blocking=False):
        raise TooMany("Too many files are being sent or fetched already.", hint="Try again in a moment.")


def end_transfer() -> None:
    """Give the place back."""
    _transfers.release()


class Transfer:
    """Sends `length` bytes of a file piece by piece; its place is free again when it is closed."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self._left = 0
        self._open = True

    def take(self, first: int, length: int) -> None:
        """Say which bytes are sent."""
        self._content.seek(first)
        self._left = length

    def __iter__(self) -> Iterator[bytes]:
        while self._left and (piece := self._content.read(min(_CHUNK, self._left))):
            self._left -= len(piece)
            yield piece

    def close(self) -> None:
        """Close the file; repeating it is no error."""
        if self._open:
            self._open = False
            self._content.close()
            end_transfer()


def part_response(transfer: Transfer, etag: str, size: int) -> Response:
    """Return the answer with the part of the file that the request asks for. Raises RangeNotSatisfiable.

    The caller closes `transfer` when this raises; afterwards the answer does.
    """
    # A range has a meaning for GET alone: what HEAD shows is the whole.
    wanted = request.headers.get("Range", "") if request.method == "GET" else ""
    part = asked_part(wanted, request.headers.get("If-Range", ""), etag, size)
    first, length = (part.first, part.length) if part else (0, size)
    transfer.take(first, length)
    response = Response(transfer, status=206 if part else 200)
    # Also when nothing of it is sent, as for HEAD or a caller who has gone.
    response.call_on_close(transfer.close)
    response.content_length = length
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = f'"{etag}"'
    if part:
        response.headers["Content-Range"] = part.header(size)
    return response
