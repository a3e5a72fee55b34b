"""Who may have memory: admission, idle eviction and fair share. Pure.

Every instance is charged its memory limit. The budget covers the machine; an
organization's fair share is the budget divided by the organizations that use
or want memory now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Holding", "Verdict", "Want", "decide", "next_in_line"]


@dataclass(frozen=True, slots=True)
class Holding:
    """Memory that an instance has."""

    instance: str
    organization: str
    memory_mb: int
    # None while it serves or starts; else when it was last used.
    idle_since: float | None
    # Told to end already: its memory comes back by itself.
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Want:
    """A target that waits for memory."""

    target: str
    organization: str
    memory_mb: int
    since: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """`admit` now, or wait until the instances in `evict` (and the leaving ones) are gone."""

    admit: bool
    evict: tuple[str, ...] = ()


def decide(budget_mb: int, holdings: Sequence[Holding], want: Want, others: Iterable[str] = ()) -> Verdict:
    """Say whether `want` gets its memory; `others` are organizations that wait as well."""
    used = sum(holding.memory_mb for holding in holdings)
    if used + want.memory_mb <= budget_mb:
        return Verdict(_within_share(budget_mb, holdings, want, set(others)))
    missing = used + want.memory_mb - budget_mb
    missing -= sum(holding.memory_mb for holding in holdings if holding.leaving)
    evicted: list[str] = []
    for holding in _eviction_order(holdings):
        if missing <= 0:
            break
        evicted.append(holding.instance)
        missing -= holding.memory_mb
    # Evicting without making room would only cost others their warm instances.
    return Verdict(False, tuple(evicted) if missing <= 0 else ())


def next_in_line(holdings: Iterable[Holding], waiting: Iterable[Want]) -> list[Want]:
    """Return the waiting targets: who holds least comes first, then who waits longest."""
    used = _used(holdings)
    return sorted(waiting, key=lambda want: (used.get(want.organization, 0), want.since))


def _within_share(budget_mb: int, holdings: Sequence[Holding], want: Want, others: set[str]) -> bool:
    others.discard(want.organization)
    if not others:
        return True
    share = budget_mb // (len(others) + 1)
    mine = _used(holdings).get(want.organization, 0)
    # A single instance larger than the share must still be able to run.
    return mine == 0 or mine + want.memory_mb <= share


def _eviction_order(holdings: Sequence[Holding]) -> list[Holding]:
    used = _used(holdings)
    idle = [holding for holding in holdings if holding.idle_since is not None and not holding.leaving]
    return sorted(idle, key=lambda holding: (-used[holding.organization], holding.idle_since or 0.0))


def _used(holdings: Iterable[Holding]) -> dict[str, int]:
    used: dict[str, int] = {}
    for holding in holdings:
        used[holding.organization] = used.get(holding.organization, 0) + holding.memory_mb
    return used
