"""One call taken apart: where its time went, from the gateway's and the host's own records.

Pure. The parts lie one behind the other; a part that was not reached is absent.
"""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.domain.metering import InstanceStart, StreamState, UsageEvent

__all__ = ["Part", "waterfall"]


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a call's time, counted from when the gateway took the request."""

    # "queue", "connect", "cold start", "function"
    name: str
    start_ms: int
    duration_ms: int
    # What is known beside the time, in words.
    note: str = ""


def waterfall(event: UsageEvent, start: InstanceStart | None) -> tuple[Part, ...]:
    """Return the parts of a call; `start` is the start of the instance that it waited for, if known."""
    call = event.call
    parts: list[Part] = []
    if call.queue_ms >= 0 and call.target:
        parts.append(Part("queue", 0, call.queue_ms))
    if call.connect_ms < 0 or not call.target:
        return tuple(parts)
    dispatched = event.dispatched_ms - call.accepted_ms
    parts.append(Part("connect", max(call.queue_ms, 0), call.connect_ms))
    if event.ready_ms:
        parts.append(Part("cold start", dispatched, event.cold_ms, _start_note(start, call.accepted_ms)))
    worked = event.ended_ms - event.dispatched_ms - event.cold_ms
    note = ""
    if event.stream is StreamState.OPEN:
        note = "the stream still runs"
    elif event.stream is StreamState.LOST:
        note = "the end of the stream was never recorded"
    parts.append(Part("function", dispatched + event.cold_ms, worked, note))
    return tuple(parts)


def _start_note(start: InstanceStart | None, accepted_ms: int) -> str:
    if start is None:
        return "it waited for an instance that was starting"
    kind = "from the imported version" if start.level == 2 else "from the bare interpreter"
    return (
        f"instance {start.instance}, level {start.level} ({kind}), activated at "
        f"{start.activated_ms - accepted_ms:+d} ms, ready at {start.ready_ms - accepted_ms:+d} ms"
    )
