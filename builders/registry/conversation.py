"""One conversation with a registry: requests with retries, time limits, redirects and credentials.

What a request means is for `client` and `upload`. A request is tried again
when its failure says nothing about it: no connection, a cut-off answer, 429
and most of 5xx; `Retry-After` is obeyed within its limit.
"""

from __future__ import annotations

import email.utils
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx

from builders.errors import BuildError
from builders.registry.access import Access
from builders.registry.credentials import Credentials
from builders.registry.failures import corrupt, refused, unreachable

__all__ = ["Answer", "Body", "Conversation", "Request"]

# Gives the body anew for each attempt.
Body = Callable[[], Iterator[bytes]]
# Takes the answer's bytes as they come; called anew for each attempt.
Sink = Callable[[], Callable[[bytes], object]]
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})
_REDIRECTS = 5
_DOCUMENT = 4 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `target` is a path below the registry, or a URL that the registry gave."""

    method: str
    target: str
    # What it is for, in words, and the token scope that it needs.
    action: str
    scope: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    length: int = 0
    # Where a long answer goes instead of memory.
    sink: Sink | None = None
    # False where trying again is for the caller, who must look first.
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    # Where it came from, to resolve a relative Location against.
    url: str = ""


class _Lost(Exception):
    """An attempt that says nothing about the request; `wait` is what the registry asked for."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


class Conversation:
    """Holds the connections to one registry. Not shared between threads."""

    def __init__(
        self,
        access: Access,
        *,
        pause: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.access = access
        self._pause, self._now = pause, now
        patience = access.patience
        verify: ssl.SSLContext | bool = True
        if access.ca_file and not access.plain_http:
            try:
                verify = ssl.create_default_context(cafile=access.ca_file)
            except OSError as error:
                raise unreachable(access.address, f"{access.ca_file} holds no CA certificates") from error
        # The environment's proxies and netrc are somebody else's: only what the operator set here counts.
        self._client = httpx.Client(
            verify=verify,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(patience.transfer, connect=patience.connect),
            limits=httpx.Limits(max_connections=8, keepalive_expiry=30.0),
        )
        self._credentials = Credentials(access, self._fetch_token, now)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def deadline(self) -> float:
        """Return until when an operation that begins now may take."""
        return self._now() + self.access.patience.operation

    def ask(self, request: Request, expected: frozenset[int], until: float | None = None) -> Answer:
        """Return the answer, if its status is expected. Raises BuildError."""
        answer = self.attempt(request, until)
        if answer.status not in expected:
            raise refused(self.access.address, answer.status, request.action, answer.body)
        return answer

    def attempt(self, request: Request, until: float | None = None) -> Answer:
        """Return an answer of any status that is final, after as many attempts as it takes."""
        until = self.deadline() if until is None else until
        for number in range(self.access.patience.attempts if request.repeatable else 1):
            try:
                return self._authorized(request, until)
            except _Lost as lost:
                last = lost
            wait = self._wait_before(number, last.wait)
            if not request.repeatable or self._now() + wait >= until:
                break
            self._pause(wait)
        raise unreachable(self.access.address, f"{request.action} failed: {last}")

    def _wait_before(self, number: int, asked: float | None) -> float:
        if asked is not None:
            return min(asked, self.access.patience.retry_after)
        # Jitter, so that many who lost one registry do not come back at once.
        return float(min(8.0, 0.2 * 2**number)) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def _authorized(self, request: Request, until: float) -> Answer:
        """Answer challenges: the first, and one more when a remembered token had ended."""
        for _ in range(3):
            answer = self._redirected(request, until)
            if answer.status != 401 or not self._credentials.answer(
                answer.headers.get("www-authenticate", ""), request.scope
            ):
                return answer
        return answer

    def _redirected(self, request: Request, until: float) -> Answer:
        url = urljoin(self.access.origin, request.target)
        for _ in range(_REDIRECTS):
            answer = self._once(request, url, until)
            if answer.status not in _MOVED or request.method not in ("GET", "HEAD"):
                return answer
            url = self.place(url, answer.headers.get("location", ""))
        raise unreachable(
            self.access.address, f"{request.action} was redirected more than {_REDIRECTS} times"
        )

    def place(self, here: str, location: str) -> str:
        """Return where a Location leads, unless that is out of TLS or carries credentials."""
        try:
            url = urljoin(here, location)
            parts = urlsplit(url)
            safe = bool(parts.hostname) and parts.username is None
        except ValueError:
            safe = False
        allowed = ("http", "https") if self.access.plain_http else ("https",)
        if not safe or parts.scheme not in allowed:
            raise refused(self.access.address, 400, "to name a safe place for its content", b"")
        return url

    def _once(self, request: Request, url: str, until: float) -> Answer:
        headers = dict(request.headers)
        if urlsplit(url).netloc == self.access.address:
            # Elsewhere, as at an object store behind the registry, the URL itself is the right.
            headers |= self._credentials.header(request.scope)
        if request.body is not None:
            headers["Content-Length"] = str(request.length)
        end = min(until, self._now() + self.access.patience.request)
        content = self._timed(request.body(), end) if request.body is not None else None
        try:
            with self._client.stream(request.method, url, headers=headers, content=content) as response:
                return self._received(response, request, end)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise _Lost(f"{type(error).__name__}: {str(error)[:200] or 'no more was said'}") from error

    def _timed(self, body: Iterator[bytes], end: float) -> Iterator[bytes]:
        for piece in body:
            self._in_time(end)
            yield piece

    def _in_time(self, end: float) -> None:
        if self._now() >= end:
            raise httpx.ReadTimeout("it took longer than a request may")

    def _received(self, response: httpx.Response, request: Request, end: float) -> Answer:
        status = response.status_code
        if status in _AGAIN:
            raise _Lost(f"it answered {status}", _asked_wait(response.headers.get("retry-after", "")))
        body = b""
        if request.sink is not None and status == 200:
            write = request.sink()
            for piece in response.iter_raw():
                self._in_time(end)
                write(piece)
        else:
            body = self._document(response, end)
        _check_length(response, request)
        return Answer(status, response.headers, body, str(response.url))

    def _document(self, response: httpx.Response, end: float) -> bytes:
        content = bytearray()
        for piece in response.iter_raw():
            self._in_time(end)
            content += piece
            if len(content) > _DOCUMENT:
                raise corrupt(self.access.address, f"sent a document of more than {_DOCUMENT} bytes")
        return bytes(content)

    def _fetch_token(self, url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        end = self._now() + self.access.patience.request
        try:
            with self._client.stream("GET", url, headers=dict(headers)) as response:
                if response.status_code in _AGAIN:
                    asked = _asked_wait(response.headers.get("retry-after", ""))
                    raise _Lost(f"its token service answered {response.status_code}", asked)
                return response.status_code, self._document(response, end)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise _Lost(f"its token service failed: {type(error).__name__}") from error


def _check_length(response: httpx.Response, request: Request) -> None:
    """Refuse an encoding that nobody asked for; a short body is the transport's to notice."""
    if request.method != "HEAD" and response.headers.get("content-encoding", "identity") != "identity":
        raise BuildError("registry_corrupt", "The registry's answer is encoded in a way nobody asked for.")


def _asked_wait(value: str) -> float | None:
    """Return the seconds of a Retry-After header, which is a number or a date; None when it says nothing."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment: Any = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    return max(0.0, float(moment.timestamp()) - time.time())
