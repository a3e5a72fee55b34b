"""The way out for spans, when the settings name a collector."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from control_plane.adapters.external.otlp import OtlpSpans
from control_plane.adapters.external.span_tally import SpanTally, tallies
from control_plane.domain.traces import TimedRelease, release_spans
from control_plane.process import log_to_stderr
from control_plane.settings import Settings

__all__ = ["make_spans", "release_tracer", "role_tallies"]


def make_spans(settings: Settings, role: str) -> OtlpSpans | None:
    """Return where a role's spans go; None when traces are off. The api shows what the others count."""
    endpoint = settings.traces.endpoint
    if not endpoint:
        return None
    tally = None if role == "api" else SpanTally(settings.run, role)
    return OtlpSpans(
        endpoint,
        lambda message, dropped: log_to_stderr(role, "warning", message, spans_dropped=dropped),
        tally=tally.write if tally else None,
    )


def release_tracer(spans: OtlpSpans | None) -> Callable[[TimedRelease], None]:
    """Return what is told of each release that went live or failed: its spans since it was asked for."""

    def tell(timed: TimedRelease) -> None:
        made = spans and release_spans(timed)
        if spans and made:
            spans.offer(made)

    return tell


def role_tallies(settings: Settings) -> Callable[[], Iterator[tuple[str, dict[str, int]]]]:
    """Return what says how many spans the roles beside the api sent and lost."""
    return lambda: tallies(settings.run)
