"""A span for each request of the API, below the caller's own when it says so. Installed only on demand.

What a span may hold is what the metrics hold: method, route pattern, status
and the request's id, never an address, a header or a body.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from flask import Flask, Response, current_app, g, request, request_finished, request_started
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, Metric

from control_plane.domain.traces import Span, TraceContext, parse_traceparent
from control_plane.errors import IngotError

__all__ = ["Spans", "install_tracing", "work_span"]

# Asked by machines every few seconds; nobody looks for them in a trace.
_SILENT: Final = frozenset({"/livez", "/readyz", "/metrics"})


class Spans(Protocol):
    """Where spans go: the collector's exporter, or a list in tests."""

    sent: int
    dropped: int

    def offer(self, spans: Sequence[Span]) -> None:
        """Take spans; returns at once."""


Tallies = Callable[[], Iterable[tuple[str, Mapping[str, int]]]]


def install_tracing(app: Flask, spans: Spans, percent: float, others: Tallies = tuple) -> None:
    """Make a span of every request of `app`; of those that begin a trace, of `percent` of them.

    `others` says what the exporters of other roles sent and lost, for the metrics.
    """

    metrics = app.extensions["ingot"].metrics
    tally = _Tally(spans, metrics.registry)
    metrics.beside.append(_Others(others))

    def begin(_app: Flask, **_: Any) -> None:
        tally.look()
        g.trace = _context(request.headers.get("traceparent", ""), percent)
        g.trace_began_ns = time.time_ns()

    def end(_app: Flask, response: Response, **_: Any) -> None:
        context: TraceContext | None = g.get("trace")
        if context is not None and context.sampled and request.path not in _SILENT:
            spans.offer([_span(context, response)])

    # Signals hold their receivers weakly, so the app keeps them.
    app.extensions["ingot.tracing"] = _Installed(spans, (begin, end))
    request_started.connect(begin, app)
    request_finished.connect(end, app)


@contextlib.contextmanager
def work_span(name: str) -> Iterator[dict[str, str | int | bool]]:
    """Make a span of the block below the request's, where requests are traced; it may be given attributes."""
    attributes: dict[str, str | int | bool] = {}
    above: TraceContext | None = g.get("trace")
    if above is None or not above.sampled:
        yield attributes
        return
    began_ns, failed = time.time_ns(), True
    try:
        yield attributes
        failed = False
    except IngotError as error:
        # As for the request: what its sender must mend is no failure of ours.
        failed = error.status >= 500
        raise
    finally:
        own = TraceContext(above.trace, secrets.token_hex(8), above.span, sampled=True)
        done = Span("control-plane", name, own, began_ns, time.time_ns(), attributes, failed=failed)
        current_app.extensions["ingot.tracing"].spans.offer([done])


@dataclass(frozen=True, slots=True)
class _Installed:
    spans: Spans
    receivers: tuple[Any, ...]


class _Others:
    """A collector over what other roles say of their spans."""

    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        """Yield the family."""
        family = CounterMetricFamily(
            "ingot_role_trace_spans",
            "Spans of the meter's calls and the worker's releases, by whether they were sent.",
            labels=["role", "result"],
        )
        for role, counts in self._tallies():
            for result, count in counts.items():
                family.add_metric([role, result], count)
        yield family


def _context(header: str, percent: float) -> TraceContext:
    above = parse_traceparent(header)
    own = secrets.token_hex(8)
    if above is not None:
        return TraceContext(above[0], own, above[1], above[2])
    sampled = random.uniform(0, 100) < percent  # noqa: S311 - a share of traces is no secret
    return TraceContext(secrets.token_hex(16), own, "", sampled)


def _span(context: TraceContext, response: Response) -> Span:
    route = request.url_rule.rule if request.url_rule is not None else "unmatched"
    attributes: dict[str, str | int | bool] = {
        "http.request.method": request.method,
        "http.route": route,
        "http.response.status_code": response.status_code,
        "ingot.request_id": g.get("request_id", ""),
    }
    return Span(
        "control-plane",
        f"{request.method} {route}",
        context,
        g.trace_began_ns,
        time.time_ns(),
        attributes,
        serves=True,
        failed=response.status_code >= 500,
    )


class _Tally:
    """Counts what the exporters of all processes sent and lost."""

    def __init__(self, spans: Spans, registry: CollectorRegistry) -> None:
        self._spans = spans
        self._lock = threading.Lock()
        self._seen = {"sent": 0, "dropped": 0}
        self._family = Counter(
            "ingot_trace_spans", "Spans of the API, by whether they were sent.", ["result"], registry=registry
        )
        self.look()

    def look(self) -> None:
        """Add what this process' exporter did since the last look."""
        with self._lock:
            for result, count in (("sent", self._spans.sent), ("dropped", self._spans.dropped)):
                self._family.labels(result).inc(count - self._seen[result])
                self._seen[result] = count
