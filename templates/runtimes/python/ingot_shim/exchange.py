"""What the blocking and the asynchronous server share: patience, and failures as answers."""

from __future__ import annotations

import select
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .answers import Answer, BadHead, head_of
from .context import request_id_of
from .handler import failure, report
from .http1 import Request
from .problems import Problem, author_fault, caller_fault

if TYPE_CHECKING:
    from .hop import Guard

__all__ = [
    "CONTINUE",
    "LAST_CHUNK",
    "READ",
    "Entrance",
    "Patience",
    "hung_up",
    "is_shut",
    "refusal",
    "too_slow",
]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
READ = 65_536


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a peer may take, in seconds. It is the caller's time, not the author's."""

    head: float = 10.0
    body: float = 60.0
    # For an answer that is complete; a stream has what is left of the call's own time.
    send: float = 30.0

    @property
    def receiving_ns(self) -> int:
        """Longest time from the first byte to the last, with a margin before the host acts."""
        return int((self.head + self.body + 5) * 1e9)

    @property
    def sending_ns(self) -> int:
        """Longest time to send a computed answer, with the same margin."""
        return int((self.send + 5) * 1e9)


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a request must be to come in."""

    body_limit: int
    # None where a socket that nobody else has keeps others out.
    guard: Guard | None = None

    def check(self, request: Request | None) -> None:
        """Refuse a complete request that does not come from the gateway. Raises Problem."""
        if self.guard is not None and request is not None:
            self.guard.check(request)


def hung_up(descriptor: int) -> bool:
    """Say whether the peer is gone altogether; a half-closed one still wants its answer."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))


def is_shut(listener: int) -> bool:
    """Say whether someone shut the listener down: it stays readable for ever, without a connection."""
    poll = select.poll()
    poll.register(listener, select.POLLRDHUP)
    return bool(poll.poll(0))


def too_slow() -> Problem:
    """Return the problem for a request that did not arrive in time."""
    return caller_fault(408, "bad_request", "The request did not arrive in time.")


def refusal(error: BaseException, request: Request | None) -> tuple[bytes, Answer]:
    """Return head and answer for anything that went wrong before an answer began."""
    if isinstance(error, BadHead):
        error = author_fault("handler_failed", f"The answer cannot be sent: {error}.")
    if not isinstance(error, Problem):
        error = failure(error)
    report(error)
    answer = error.answer(request_id_of(request))
    try:
        return head_of(answer), answer
    except BadHead as bad:
        plain = author_fault("handler_failed", f"The answer cannot be sent: {bad}.").answer("")
        return head_of(plain), plain
