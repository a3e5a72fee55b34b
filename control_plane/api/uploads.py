"""Streams a large body into a temporary file, with a cap, so that no upload fills memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, ClassVar, Final, TypeVar

from flask import Flask, request

from control_plane.errors import IngotError, Invalid, TooLarge

__all__ = ["UnsupportedMediaType", "body_chunks", "streamed_body"]

_CHUNK = 1 << 18
_MARK: Final = "ingot_uploads"
_View = TypeVar("_View", bound=Callable[..., Any])
_UNCAPPED = 1 << 60


class UnsupportedMediaType(IngotError):
    """The body is of a kind that this route does not take."""

    code: ClassVar[str] = "unsupported_media_type"
    status: ClassVar[int] = 415


def uploads(media_types: frozenset[str]) -> Callable[[_View], _View]:
    """Say in the API's description which bodies a view streams."""

    def mark(view: _View) -> _View:
        setattr(view, _MARK, media_types)
        return view

    return mark


def uploaded_types(app: Flask, endpoint: str) -> frozenset[str]:
    """Return the media types that a route streams; none for most."""
    return getattr(app.view_functions[endpoint], _MARK, frozenset())


@contextmanager
def streamed_body(limit: int, media_types: frozenset[str]) -> Iterator[IO[bytes]]:
    """Yield the request's body as a file at position 0; it is deleted on leaving.

    The file has no name on disk, so a killed process leaves nothing behind.
    """
    if request.mimetype not in media_types:
        raise UnsupportedMediaType(
            f"Content-Type “{request.mimetype[:60] or 'none'}” is not accepted here.",
            field="Content-Type",
            hint=f"Send one of {', '.join(sorted(media_types))}.",
        )
    declared = request.content_length
    if declared is not None and declared > limit:
        raise _too_large(limit)
    # The application's own cap is meant for JSON; this route has its own.
    request.max_content_length = limit + 1
    with tempfile.TemporaryFile(prefix="ingot-upload-") as file:
        size = 0
        while chunk := request.stream.read(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            file.write(chunk)
        if size == 0:
            raise Invalid("The body is empty.", hint="Send the content as the request's body.")
        file.seek(0)
        yield file


def body_chunks() -> Iterator[bytes]:
    """Yield the request's body piece by piece; whoever takes them says when it is too much."""
    # The application's own cap is meant for JSON; whoever announced the bytes set another one.
    request.max_content_length = _UNCAPPED
    while chunk := request.stream.read(_CHUNK):
        yield chunk


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body is over the limit of {limit:,} bytes.",
        hint="Leave out what the function does not need, such as environments and build output.",
    )
