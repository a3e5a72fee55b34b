"""Spans of calls, from what gateway and host recorded, and the W3C trace context that joins them.

Pure: a call costs nothing more for being traced, because its spans are made
afterwards from records that are written anyway. Sending spans happens elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from control_plane.domain.metering import InstanceStart, UsageEvent
from control_plane.domain.releases import Release

__all__ = [
    "ReleasePhase",
    "Span",
    "TimedRelease",
    "TraceContext",
    "call_spans",
    "derived_id",
    "parse_traceparent",
    "recorded_context",
    "release_spans",
]

# Phase of a release -> the part of Ingot that does it.
_DOERS: Final = {"hand to host": "control-plane", "activation": "instance", "switch": "gateway"}
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_RECORDED: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})-([0-9a-f]{16})?")


class TraceContext(NamedTuple):
    """Where a span stands: in which trace, as what, below what."""

    trace: str
    span: str
    # The id of the span above; empty at the top.
    parent: str
    sampled: bool

    @property
    def header(self) -> str:
        """Return the `traceparent` that puts other work below this."""
        return f"00-{self.trace}-{self.span}-{int(self.sampled):02x}"


class ReleasePhase(NamedTuple):
    """A part of a release's way to its calls; one of `_DOERS`."""

    name: str
    start_ms: int
    end_ms: int
    # What was activated.
    target: str = ""


@dataclass(frozen=True, slots=True)
class TimedRelease:
    """A release that went live or failed, with the parts of its way there."""

    release: Release
    live: bool
    ended_ms: int
    phases: tuple[ReleasePhase, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """One piece of work with its beginning and end, in Unix nanoseconds."""

    # Which part of Ingot did the work: gateway, instance or control-plane.
    service: str
    name: str
    context: TraceContext
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str | int | bool] = field(default_factory=dict)
    # It answers somebody's request, rather than being a part of other work.
    serves: bool = False
    failed: bool = False


def parse_traceparent(header: str) -> tuple[str, str, bool] | None:
    """Return trace id, span id and whether it is sampled; None when the header is no valid context."""
    found = _TRACEPARENT.fullmatch(header)
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    return found[1], found[2], bool(int(found[3], 16) & 1)


def recorded_context(text: str) -> TraceContext | None:
    """Return the context of an access record; None when it holds no more than the trace's id."""
    found = _RECORDED.fullmatch(text)
    if found is None:
        return None
    return TraceContext(found[1], found[2], found[4] or "", bool(int(found[3], 16) & 1))


def derived_id(*parts: str, digits: int = 16) -> str:
    """Return an id that the same parts always give, so that a span that is sent twice is one span."""
    return sha256("/".join(parts).encode()).hexdigest()[:digits]


def call_spans(event: UsageEvent, context: TraceContext, start: InstanceStart | None) -> list[Span]:
    """Return a call's spans: the gateway's, below it the wait and the instance's time.

    `start` is the start of an instance that the call waited for. The gateway's
    span has the id that the function was given as its parent.
    """
    call = event.call
    ended_ms = max(event.ended_ms, call.accepted_ms + max(call.active_ms, 0))
    spans = [
        Span(
            "gateway",
            f"{call.method} {call.function}",
            context,
            call.accepted_ms * 1_000_000,
            ended_ms * 1_000_000,
            _attributes(event),
            serves=True,
            failed=event.outcome.value not in ("answered", "rejected", "refused"),
        )
    ]
    queue_ms, connect_ms = max(call.queue_ms, 0), max(call.connect_ms, 0)
    if queue_ms:
        spans.append(_below(context, "gateway", "queue", call.accepted_ms, call.accepted_ms + queue_ms))
    if connect_ms:
        spans.append(_below(context, "gateway", "connect", call.accepted_ms + queue_ms, event.dispatched_ms))
    if event.ended_ms > event.dispatched_ms or call.connect_ms >= 0:
        spans += _instance_spans(event, context, start)
    return spans


def _instance_spans(event: UsageEvent, context: TraceContext, start: InstanceStart | None) -> Sequence[Span]:
    named: dict[str, str | int | bool] = {
        "ingot.target": event.call.target,
        "faas.coldstart": start is not None,
    }
    began_ms, spans = event.dispatched_ms, []
    if start is not None:
        named["faas.instance"] = start.instance
        cold: dict[str, str | int | bool] = {
            "faas.instance": start.instance,
            "ingot.template_level": start.level,
        }
        # A short call may be over before the host hears that its instance is ready.
        ready_ms = max(min(start.ready_ms, event.ended_ms), start.activated_ms)
        spans.append(_below(context, "instance", "cold start", start.activated_ms, ready_ms, cold))
        began_ms = min(max(ready_ms, began_ms), event.ended_ms)
    spans.append(_below(context, "instance", "function", began_ms, event.ended_ms, named))
    return spans


def release_spans(timed: TimedRelease) -> list[Span]:
    """Return a release's span, below the request that asked for it, and its phases; none when not sampled.

    Where no traced request asked, as for a guard, it is a trace of its own.
    """
    release = timed.release
    above = parse_traceparent(release.trace)
    if above is not None and not above[2]:
        return []
    trace, parent = above[:2] if above else (derived_id("release", release.id, digits=32), "")
    own = TraceContext(trace, derived_id(trace, release.id), parent, sampled=True)
    named: dict[str, str | int | bool] = {
        "ingot.release": release.id,
        "ingot.organization": release.organization,
        "faas.name": release.function,
    }
    began_ns, ended_ns = release.created_ms * 1_000_000, timed.ended_ms * 1_000_000
    spans = [Span("control-plane", "release", own, began_ns, ended_ns, named, failed=not timed.live)]
    for number, phase in enumerate(timed.phases):
        context = TraceContext(trace, derived_id(own.span, phase.name, str(number)), own.span, sampled=True)
        target: dict[str, str | int | bool] = {"ingot.target": phase.target} if phase.target else {}
        begun_ns, done_ns = phase.start_ms * 1_000_000, phase.end_ms * 1_000_000
        spans.append(Span(_DOERS[phase.name], phase.name, context, begun_ns, done_ns, target))
    return spans


def _below(
    above: TraceContext,
    service: str,
    name: str,
    start_ms: int,
    end_ms: int,
    attributes: Mapping[str, str | int | bool] | None = None,
) -> Span:
    own = TraceContext(above.trace, derived_id(above.span, name), above.span, above.sampled)
    return Span(service, name, own, start_ms * 1_000_000, end_ms * 1_000_000, attributes or {})


def _attributes(event: UsageEvent) -> dict[str, str | int | bool]:
    call = event.call
    found: dict[str, str | int | bool] = {
        "http.request.method": call.method,
        "http.response.status_code": call.status,
        "faas.name": call.function,
        "faas.coldstart": bool(event.ready_ms),
        "ingot.organization": call.organization,
        "ingot.project": call.project,
        "ingot.version": call.version,
        "ingot.usage_id": call.id,
        "ingot.request_id": call.request_id or call.id,
        "ingot.outcome": event.outcome.value,
        "ingot.billed_ms": event.billed_ms,
    }
    if call.refusal:
        found["ingot.refusal"] = call.refusal
    if event.exit_reason:
        found["ingot.exit_reason"] = event.exit_reason
    return found
