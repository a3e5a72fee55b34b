"""Runs a WSGI application (PEP 3333)."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .answers import Answer
from .handler import failure
from .http1 import Request
from .mount import split_host, split_mount
from .problems import author_fault

if TYPE_CHECKING:
    from .load import Loaded

__all__ = ["WsgiApplication"]


class WsgiApplication:
    """Answers by calling the author's application in this thread."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded

    def respond(self, request: Request, deadline: float) -> Answer:
        """Return the answer. Raises Problem."""
        response = _Response()
        try:
            parts = self._loaded.target(self._environ(request), response.start)
            if self._loaded.streaming:
                return self._streamed(response, parts)
            return self._computed(response, parts)
        except BaseException as error:  # noqa: BLE001 - SystemExit must not end the instance.
            raise failure(error) from None

    def _computed(self, response: _Response, parts: Iterable[bytes]) -> Answer:
        try:
            body = b"".join([*response.written, *parts])
        finally:
            _close(parts)
        return Answer(response.status, response.headers, body)

    def _streamed(self, response: _Response, parts: Iterable[bytes]) -> Answer:
        # The head is known only after the first part was asked for.
        stream = _joined(response, parts)
        first = next(stream, b"")
        return Answer(response.status, response.headers, stream=_after(first, stream))

    def _environ(self, request: Request) -> dict[str, Any]:
        mount, path = split_mount(request.path, self._loaded.path_name)
        fields = request.fields
        host, port = split_host(fields.get("host", ""))
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": _native(mount),
            "PATH_INFO": _native(path),
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": fields.get("content-type", ""),
            "CONTENT_LENGTH": str(len(request.body)),
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": f"HTTP/1.{request.minor}",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https" if fields.get("x-forwarded-proto") == "https" else "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": self._loaded.concurrency > 1,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }
        for name, value in request.headers:
            # `a_b` and `a-b` would be the same variable: a header could pose as another.
            if "_" not in name and name not in ("content-type", "content-length"):
                key = "HTTP_" + name.upper().replace("-", "_")
                environ[key] = f"{environ[key]},{value}" if key in environ else value
        return environ


class _Response:
    """What the application said by start_response and write."""

    def __init__(self) -> None:
        self._started: tuple[int, list[tuple[str, str]]] | None = None
        self.written: list[bytes] = []

    @property
    def status(self) -> int:
        return self._known()[0]

    @property
    def headers(self) -> list[tuple[str, str]]:
        return self._known()[1]

    def _known(self) -> tuple[int, list[tuple[str, str]]]:
        if self._started is None:
            raise author_fault("handler_failed", "The application did not call start_response.")
        return self._started

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Be the application's start_response."""
        if self._started is not None and exc_info is None:
            raise AssertionError("start_response was called twice without exc_info")
        self._started = (int(status[:3]), list(headers))
        return self.written.append


def _joined(response: _Response, parts: Iterable[bytes]) -> Iterator[bytes]:
    try:
        for part in parts:
            yield from response.written
            response.written.clear()
            yield part
        yield from response.written
    finally:
        _close(parts)


def _after(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _close(parts: Iterable[bytes]) -> None:
    close = getattr(parts, "close", None)
    if close is not None:
        close()


def _native(text: str) -> str:
    """WSGI text is bytes, shown as Latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
