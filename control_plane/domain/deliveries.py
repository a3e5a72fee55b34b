"""Events on their way to the platform's own consumers: values only.

A delivery exists as long as its consumer has not done its work; what is not
there was done, or never asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from control_plane.domain.events import Event

__all__ = ["Consumer", "Delivery", "next_attempt_ms", "wanted_by"]

_FIRST_MS: Final = 5_000
_LONGEST_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one consumer."""

    event: str
    consumer: str
    organization: str
    # When it is handed over (again), unless it was done until then.
    due_ms: int
    # How often it was handed over.
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Consumer:
    """A part of the platform that follows events. Its work may come twice, and must not mind."""

    name: str
    # Full types, as `type_of` gives them.
    types: frozenset[str]
    work: Callable[[Event], None]


def next_attempt_ms(now_ms: int, attempts: int) -> int:
    """Return when a delivery that was handed over so often is due again.

    The first pause is longer than a broker takes, so that only what is lost comes twice.
    """
    return now_ms + min(_FIRST_MS << min(attempts, 10), _LONGEST_MS)


def wanted_by(consumers: Mapping[str, frozenset[str]], event: Event) -> tuple[str, ...]:
    """Return the names of the consumers that want the event."""
    return tuple(sorted(name for name, types in consumers.items() if event.type in types))
