"""What a call counts as: its outcome, whose fault it is, and the milliseconds that are billed.

Pure: the same records give the same usage in any order and any split. Reading
logs and keeping rows happen elsewhere; prices are no concern of this module.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

from control_plane.domain.metering_records import Call, InstanceExit, InstanceStart, StreamEnd

__all__ = [
    "ANSWER_SLACK_MS",
    "AUTHOR_EXITS",
    "DAY_MS",
    "EXIT_SLACK_MS",
    "FAULT_OF",
    "HOUR_MS",
    "Call",
    "Fault",
    "InstanceExit",
    "InstanceStart",
    "Outcome",
    "StreamEnd",
    "StreamState",
    "UsageEvent",
    "complete",
    "dispatch_window",
    "explain",
    "rate",
    "waited_for",
]

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

# The gateway and the host stamp the same moment with their own clock reading and
# round to milliseconds; a busy machine wakes the host this much after the dispatch.
_ACTIVATION_SLACK_MS: Final = 50
ANSWER_SLACK_MS: Final = 2
# The host notices a dead instance after the gateway saw its connection break.
EXIT_SLACK_MS: Final = 2_000

# Exits that the function's own code caused; all others are the platform's decision.
AUTHOR_EXITS: Final = frozenset({"out_of_memory", "crashed", "overdue"})
_PLATFORM_EXITS: Final = frozenset({"evicted", "retired", "life", "drained"})
_EXPLAINABLE_REFUSALS: Final = frozenset({"function_failed", "function_timeout"})

_ready_ms = attrgetter("ready_ms")


class Fault(StrEnum):
    """Who must act when a call did not go well."""

    NOBODY = "nobody"
    CALLER = "caller"
    AUTHOR = "author"
    PLATFORM = "platform"


class Outcome(StrEnum):
    """How a call ended."""

    # The instance answered with a status below 400, or the gateway a CORS preflight, which is not billed.
    ANSWERED = "answered"
    # The instance answered 4xx: it blames its caller, and its work is billed.
    REJECTED = "rejected"
    # The instance answered 5xx, broke off, crashed, or ran over its limits.
    FAILED = "failed"
    # The gateway turned the call away for what the caller sent. Never billed.
    REFUSED = "refused"
    # All the instances that the author allows stayed busy until the call's time in the queue was over.
    # Never billed.
    SATURATED = "saturated"
    # Gateway or host could not serve. Never billed.
    UNAVAILABLE = "unavailable"
    # The caller hung up before the answer began.
    ABANDONED = "abandoned"


FAULT_OF: Final = {
    Outcome.ANSWERED: Fault.NOBODY,
    Outcome.REJECTED: Fault.CALLER,
    Outcome.FAILED: Fault.AUTHOR,
    Outcome.REFUSED: Fault.CALLER,
    Outcome.SATURATED: Fault.AUTHOR,
    Outcome.UNAVAILABLE: Fault.PLATFORM,
    Outcome.ABANDONED: Fault.CALLER,
}

_BILLED: Final = frozenset({Outcome.ANSWERED, Outcome.REJECTED, Outcome.FAILED, Outcome.ABANDONED})


class StreamState(StrEnum):
    """What is known of a call's end. Only streaming calls have an end record."""

    NONE = ""
    OPEN = "open"
    ENDED = "ended"
    # No end record came within the bound: the gateway died during the stream.
    LOST = "lost"


class UsageEvent(NamedTuple):
    """One call as it is counted: the call, what else is known of it, and its rating."""

    call: Call
    stream: StreamState
    # When the instance that the call waited for was ready; 0 when it did not wait.
    ready_ms: int
    # Why the instance ended that broke the call off; empty when none is known.
    exit_reason: str
    dispatched_ms: int
    ended_ms: int
    # The call broke off; an exit record may say whose fault that is.
    broken: bool
    outcome: Outcome
    cold_ms: int
    billed_ms: int

    @property
    def memory_mb_ms(self) -> int:
        """Return memory times time, as an integer; 1 GB-ms is 1024 of these."""
        return self.billed_ms * self.call.memory_mb


def rate(
    call: Call, stream: StreamState = StreamState.NONE, ready_ms: int = 0, exit_reason: str = ""
) -> UsageEvent:
    """Return how `call` counts, from what gateway and host themselves recorded."""
    reached = call.connect_ms >= 0 and call.target != ""
    dispatched_ms = call.accepted_ms + max(call.queue_ms, 0) + max(call.connect_ms, 0)
    server_ms = _server_ms(call, stream) if reached else 0
    broken = _broken(call, stream)
    outcome = _outcome(call, broken, exit_reason)
    cold_ms = min(max(ready_ms - dispatched_ms, 0), server_ms) if ready_ms else 0
    billed_ms = 0
    if reached and stream is not StreamState.OPEN and outcome in _BILLED:
        billed_ms = max(server_ms - cold_ms, 1)
    return UsageEvent(
        call,
        stream,
        ready_ms,
        exit_reason,
        dispatched_ms,
        dispatched_ms + server_ms,
        broken,
        outcome,
        cold_ms,
        billed_ms,
    )


def complete(call: Call, end: StreamEnd) -> Call:
    """Return a streaming call with what only its end record knows.

    Its queue is the inner frontend's, so its access record could not tell it.
    """
    queue_ms = max(end.queue_ms, 0)
    return call._replace(
        queue_ms=max(call.queue_ms, 0) + queue_ms,
        active_ms=max(end.active_ms - queue_ms, 0),
        bytes_in=max(call.bytes_in, end.bytes_in),
        bytes_out=end.bytes_out,
        termination=end.termination,
    )


def waited_for(event: UsageEvent, starts: Sequence[InstanceStart]) -> int:
    """Return the `ready_ms` of the start that a call waited for, or 0 when it met a running instance.

    `starts` are those of the call's target, sorted by `ready_ms`.
    """
    first = bisect_left(starts, event.dispatched_ms, key=_ready_ms)
    for start in islice(starts, first, None):
        if start.ready_ms > event.ended_ms + ANSWER_SLACK_MS:
            break
        if start.activated_ms - _ACTIVATION_SLACK_MS <= event.dispatched_ms:
            return start.ready_ms
    return 0


def explain(event: UsageEvent, exits: Iterable[InstanceExit]) -> str:
    """Return the reason of the exit that broke a call off, or an empty text.

    Of several candidates the nearest in time counts, so that the order in
    which records arrive changes nothing.
    """
    if not event.broken:
        return ""
    nearest = min(
        (
            (abs(end.at_ms - event.ended_ms), end.at_ms, end.instance, end.reason)
            for end in exits
            if end.target == event.call.target
            and end.reason in AUTHOR_EXITS | _PLATFORM_EXITS
            and event.dispatched_ms <= end.at_ms <= event.ended_ms + EXIT_SLACK_MS
        ),
        default=None,
    )
    return nearest[3] if nearest else ""


def dispatch_window(start: InstanceStart) -> tuple[int, int]:
    """Return the first and last dispatch time of calls that may have waited for `start`."""
    return start.activated_ms - _ACTIVATION_SLACK_MS, start.ready_ms


def _server_ms(call: Call, stream: StreamState) -> int:
    if stream is StreamState.ENDED:
        return max(call.active_ms, 0)
    if call.response_ms >= 0:
        return call.response_ms
    return max(call.active_ms - max(call.queue_ms, 0) - call.connect_ms, 0)


def _broken(call: Call, stream: StreamState) -> bool:
    if call.refusal:
        return call.refusal in _EXPLAINABLE_REFUSALS
    return stream is StreamState.ENDED and call.termination[:1] in ("S", "s")


def _outcome(call: Call, broken: bool, exit_reason: str) -> Outcome:
    if broken:
        return _outcome_of_broken(call, exit_reason)
    if call.refusal:
        return _outcome_of_refusal(call)
    if call.response_ms < 0 or call.status <= 0:
        return Outcome.ABANDONED if call.termination[:1] in ("C", "c") else Outcome.UNAVAILABLE
    if call.status < 400:
        return Outcome.ANSWERED
    return Outcome.REJECTED if call.status < 500 else Outcome.FAILED


def _outcome_of_refusal(call: Call) -> Outcome:
    if call.refusal == "queue_full":
        return Outcome.SATURATED
    if call.status < 400:
        # A browser's CORS preflight, which the gateway answers for every function.
        return Outcome.ANSWERED
    return Outcome.UNAVAILABLE if call.status >= 500 else Outcome.REFUSED


def _outcome_of_broken(call: Call, exit_reason: str) -> Outcome:
    if exit_reason in AUTHOR_EXITS:
        return Outcome.FAILED
    # An instance that breaks its stream off while it lives does so by its author's code;
    # otherwise ending every stream that way would make all of them free.
    return Outcome.UNAVAILABLE if call.refusal or exit_reason else Outcome.FAILED
