"""Measures what one version did in the last seconds, from the usage rows that the meter writes.

Never writes. It reads at most the newest calls of the function, so that a busy
function costs no more than a quiet one.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Engine, Select, func, select

from control_plane.domain.metering import FAULT_OF, Fault, Outcome
from control_plane.domain.release_guards import Figures, p95_rank
from control_plane.store.tenant_wall import EVERYONE, reaching
from control_plane.store.usage_tables import usage_events

__all__ = ["GuardFigures"]

# Enough to judge by; reading them takes some hundredths of a second.
_MOST_CALLS: Final = 50_000
# What the caller spoiled or left says nothing about the version.
_COUNTED: Final = tuple(outcome for outcome in Outcome if outcome not in {Outcome.REFUSED, Outcome.ABANDONED})
_FAULTY: Final = frozenset(
    outcome for outcome in _COUNTED if FAULT_OF[outcome] in {Fault.AUTHOR, Fault.PLATFORM}
)


class GuardFigures:
    """The figures that guards decide by."""

    def __init__(self, engine: Engine) -> None:
        self._engine = reaching(engine.execution_options(ingot_read_only=True), EVERYONE)

    def measure(self, function: str, version: str, since_ms: int, until_ms: int) -> Figures:
        """Return what the version's calls that were accepted in the span came to."""
        calls = _calls(function, version, since_ms, until_ms)
        latency = calls.c.latency_ms
        with self._engine.begin() as connection:
            grouped = select(calls.c.outcome, func.count()).group_by(calls.c.outcome)
            counts = {Outcome(row[0]): int(row[1]) for row in connection.execute(grouped)}
            answered = select(func.count()).select_from(calls).where(calls.c.response_ms >= 0)
            rank = p95_rank(int(connection.scalar(answered) or 0))
            ordered = select(latency).where(calls.c.response_ms >= 0).order_by(latency)
            p95 = connection.scalar(ordered.offset(rank).limit(1))
        return Figures(
            calls=sum(counts.values()),
            failed=sum(count for outcome, count in counts.items() if outcome in _FAULTY),
            p95_ms=int(p95 or 0),
        )


def _calls(function: str, version: str, since_ms: int, until_ms: int) -> Any:
    event = usage_events.c
    newest: Select[Any] = (
        select(
            event.version,
            event.outcome,
            event.accepted_ms,
            event.response_ms,
            event.queue_ms,
            event.connect_ms,
        )
        .where(event.function == function, event.dispatched_ms >= since_ms)
        .where(event.dispatched_ms <= until_ms)
        .order_by(event.dispatched_ms.desc())
        .limit(_MOST_CALLS)
    )
    some = newest.subquery()
    # As the caller felt it; a figure that is not known is -1.
    latency = sum(
        (func.coalesce(func.nullif(some.c[name], -1), 0) for name in ("queue_ms", "connect_ms")),
        start=some.c.response_ms,
    )
    return (
        select(some.c.outcome, some.c.response_ms, latency.label("latency_ms"))
        .where(some.c.version == version, some.c.accepted_ms >= since_ms)
        .where(some.c.outcome.in_([outcome.value for outcome in _COUNTED]))
        .subquery()
    )
