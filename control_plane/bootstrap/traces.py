"""The way out for spans, when the settings name a collector."""

from __future__ import annotations

import time
from collections.abc import Callable

from control_plane.adapters.external.otlp import OtlpSpans
from control_plane.domain.ids import made_ms
from control_plane.domain.traces import Span, TraceContext, derived_id
from control_plane.process import log_to_stderr
from control_plane.settings import Settings

__all__ = ["make_spans", "release_tracer"]


def make_spans(settings: Settings, role: str) -> OtlpSpans | None:
    """Return where a role's spans go; None when traces are off."""
    endpoint = settings.traces.endpoint
    if not endpoint:
        return None
    return OtlpSpans(
        endpoint, lambda message, dropped: log_to_stderr(role, "warning", message, spans_dropped=dropped)
    )


def release_tracer(spans: OtlpSpans | None) -> Callable[[str, bool], None]:
    """Return what is told of each release that went live (True) or failed: one span since it was asked for.

    The span begins a trace of its own, as the request that asked for it was answered long before.
    """

    def tell(release: str, live: bool) -> None:
        if spans is None:
            return
        trace = derived_id("release", release, digits=32)
        context = TraceContext(trace, derived_id(trace, "release"), "", sampled=True)
        named = {"ingot.release": release}
        began_ns = made_ms(release) * 1_000_000
        spans.offer(
            [Span("control-plane", "release", context, began_ns, time.time_ns(), named, failed=not live)]
        )

    return tell
