"""What a handler gets beside its input. Documented for authors in the guide on functions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from .http1 import Request
from .logger import RequestLogger, request_logger
from .mount import split_mount

if TYPE_CHECKING:
    from .load import Loaded

__all__ = ["Context", "request_id_of"]


class Context:
    """One call, as the handler sees it. Read-only by convention; lazily computed."""

    __slots__ = ("_loaded", "_request", "deadline")

    logger: RequestLogger = request_logger

    def __init__(self, loaded: Loaded, request: Request | None, deadline: float) -> None:
        self._loaded = loaded
        self._request = request
        # On the clock of time.monotonic().
        self.deadline = deadline

    @property
    def remaining(self) -> float:
        """Seconds until the call is ended from outside; never negative."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def request_id(self) -> str:
        """The id that the caller sees; the caller may have chosen it."""
        return "" if self._request is None else request_id_of(self._request)

    @property
    def usage_id(self) -> str:
        """The id under which this call is counted; unique."""
        return self._header("x-ingot-usage-id")

    @property
    def key_id(self) -> str:
        """The id of the API key that the caller used; empty for a public function."""
        return self._header("x-ingot-key-id")

    @property
    def trace(self) -> str:
        """The W3C `traceparent` of this call."""
        return self._header("traceparent")

    @property
    def function(self) -> str:
        """The function's id."""
        return self._loaded.function

    @property
    def version(self) -> str:
        """The version's id."""
        return self._loaded.version

    @property
    def settings(self) -> Mapping[str, str]:
        """Settings of the release, by name."""
        return self._loaded.settings

    @property
    def secrets(self) -> Mapping[str, str]:
        """Secrets of the release, by name."""
        return self._loaded.secrets

    @property
    def method(self) -> str:
        """The HTTP method."""
        return "" if self._request is None else self._request.method

    @property
    def path(self) -> str:
        """The path below the function's own address, `/` for the address itself."""
        if self._request is None:
            return "/"
        return split_mount(self._request.path, self._loaded.path_name)[1]

    @property
    def query(self) -> dict[str, str]:
        """Query parameters; the last of several equal names."""
        if self._request is None:
            return {}
        return dict(parse_qsl(self._request.query_string, keep_blank_values=True, max_num_fields=1000))

    @property
    def query_string(self) -> str:
        """The query as it came, for what `query` cannot hold."""
        return "" if self._request is None else self._request.query_string

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers by lower-case name; the last of several equal names."""
        return {} if self._request is None else self._request.fields

    def _header(self, name: str) -> str:
        return "" if self._request is None else self._request.fields.get(name, "")


def request_id_of(request: Request | None) -> str:
    """Return the request id that the gateway set, or an empty text."""
    return "" if request is None else request.fields.get("x-request-id", "")[:128]
