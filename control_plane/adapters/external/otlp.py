"""Sends spans to an OpenTelemetry collector over OTLP/HTTP, from a thread of its own.

Whoever offers spans never waits: the queue is bounded, what finds no room or
cannot be sent is dropped and counted. The library is loaded by the thread, at
the first span, so a process without traces does not know it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from control_plane.domain.traces import Span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["OtlpSpans"]

_QUEUE: Final = 8_192
_BATCH: Final = 512
# Spans of a moment travel together.
_GATHER_S: Final = 0.5
# The exporter tries again by itself within this time.
_TIMEOUT_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 30.0
_PATH: Final = "/v1/traces"


class OtlpSpans:
    """The way out for the spans of one process."""

    def __init__(
        self,
        endpoint: str,
        report: Callable[[str, int], None],
        *,
        tally: Callable[[int, int], None] | None = None,
        queue: int = _QUEUE,
    ) -> None:
        """`report` is told once when spans begin to be lost, with how many were lost so far.

        `tally` is told after each batch how many were sent and lost so far.
        """
        endpoint = endpoint.rstrip("/")
        self._endpoint = endpoint if endpoint.endswith(_PATH) else endpoint + _PATH
        self._report = report
        self._tally = tally
        self._room = queue
        self._waiting: deque[Span] = deque()
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False
        self.sent = 0
        self.dropped = 0

    def offer(self, spans: Sequence[Span]) -> None:
        """Take spans to be sent, as far as there is room. Returns at once."""
        with self._changed:
            taken = spans[: max(self._room - len(self._waiting), 0)]
            self._waiting.extend(taken)
            self.dropped += len(spans) - len(taken)
            if self._thread is None and not self._stopped.is_set():
                # Not before: a thread would not live on in a server's forked worker.
                self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, seconds: float = 2.0) -> None:
        """Send what waits, for so long at most; what is left then is lost."""
        with self._changed:
            self._stopped.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        exporter = self._exporter()
        pause = 1.0
        while batch := self._next_batch():
            if self._send(exporter, batch):
                pause = 1.0
                continue
            if self._stopped.wait(pause):
                return
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _next_batch(self) -> list[Span]:
        """Wait for spans and take some; nothing when it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped.is_set())
        self._stopped.wait(_GATHER_S)
        with self._changed:
            batch = list(islice(self._waiting, _BATCH))
            for _ in batch:
                self._waiting.popleft()
            return batch

    def _send(self, exporter: SpanExporter, batch: Sequence[Span]) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            good = exporter.export([_readable(span) for span in batch]) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - whatever a collector does, the process goes on
            good = False
        with self._changed:
            if good:
                self.sent += len(batch)
            else:
                self.dropped += len(batch)
        if self._tally is not None:
            self._tally(self.sent, self.dropped)
        if not good and not self._failing:
            self._report(f"spans cannot be sent to {self._endpoint}; they are dropped", self.dropped)
        elif good and self._failing:
            self._report("spans are sent again", self.dropped)
        self._failing = not good
        return good

    def _exporter(self) -> SpanExporter:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        # It would say at each attempt what `report` says once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        return OTLPSpanExporter(endpoint=self._endpoint, timeout=_TIMEOUT_S)


def _readable(span: Span) -> ReadableSpan:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(identifier: str, *, remote: bool) -> SpanContext:
        trace = int(span.context.trace, 16)
        return SpanContext(trace, int(identifier, 16), remote, TraceFlags(TraceFlags.SAMPLED))

    parent = span.context.parent
    return ReadableSpan(
        span.name,
        context(span.context.span, remote=False),
        context(parent, remote=span.serves) if parent else None,
        Resource({"service.name": f"ingot-{span.service}", "service.namespace": "ingot"}),
        dict(span.attributes),
        kind=SpanKind.SERVER if span.serves else SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR) if span.failed else Status(),
        start_time=span.start_ns,
        end_time=span.end_ns,
    )
