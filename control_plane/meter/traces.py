"""Makes the spans of calls from what was counted. What a span holds is decided by the domain.

Nothing here may stop the counting: it looks at a batch after it was stored,
keeps a bounded memory of starts and open streams, and never waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from control_plane.domain.metering import (
    Call,
    InstanceStart,
    StreamState,
    complete,
    explain,
    rate,
    waited_for,
)
from control_plane.domain.traces import Span, call_spans, recorded_context
from control_plane.store.usage_intake import Intake

__all__ = ["CallTraces"]

_TARGETS: Final = 1_000
_STARTS_EACH: Final = 64
_STREAMS: Final = 4_000


class CallTraces:
    """The traced calls of each batch, as spans."""

    def __init__(self, offer: Callable[[Sequence[Span]], None]) -> None:
        self._offer = offer
        # Calls may be read after the start that they waited for: the last ones of each target.
        self._starts: OrderedDict[str, list[InstanceStart]] = OrderedDict()
        # A stream is a span only when it has ended.
        self._open: OrderedDict[str, Call] = OrderedDict()

    def observe(self, intake: Intake) -> None:
        """Offer the spans of a stored batch."""
        for start in intake.starts:
            self._remember(start)
        spans: list[Span] = []
        for call in intake.calls:
            if not _sampled(call):
                continue
            if call.streaming and call.connect_ms >= 0:
                self._open[call.id] = call
                if len(self._open) > _STREAMS:
                    self._open.popitem(last=False)
            else:
                spans += self._spans(call, StreamState.NONE, intake)
        for end in intake.ends:
            opened = self._open.pop(end.id, None)
            if opened is not None:
                spans += self._spans(complete(opened, end), StreamState.ENDED, intake)
        if spans:
            self._offer(spans)

    def _spans(self, call: Call, stream: StreamState, intake: Intake) -> list[Span]:
        context = recorded_context(call.trace)
        if context is None:
            return []
        event = rate(call, stream)
        starts = self._starts.get(call.target, [])
        ready_ms = waited_for(event, starts)
        start = next((one for one in starts if ready_ms and one.ready_ms == ready_ms), None)
        return call_spans(rate(call, stream, ready_ms, explain(event, intake.exits)), context, start)

    def _remember(self, start: InstanceStart) -> None:
        known = self._starts.setdefault(start.target, [])
        known.append(start)
        known.sort(key=lambda one: one.ready_ms)
        del known[:-_STARTS_EACH]
        self._starts.move_to_end(start.target)
        if len(self._starts) > _TARGETS:
            self._starts.popitem(last=False)


def _sampled(call: Call) -> bool:
    context = recorded_context(call.trace)
    return context is not None and context.sampled
