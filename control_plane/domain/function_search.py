"""What a list of functions is narrowed to and ordered by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["FunctionSearch", "FunctionSort", "FunctionState"]


class FunctionState(StrEnum):
    """Whether calls reach a function."""

    LIVE = "live"
    # There, but without a live release.
    IDLE = "idle"
    # Taken down.
    REMOVED = "removed"


class FunctionSort(StrEnum):
    """What a list is ordered by."""

    NAME = "name"
    CREATED = "created"
    UPDATED = "updated"


@dataclass(frozen=True, slots=True)
class FunctionSearch:
    """Which functions, in which order. What is not said narrows nothing."""

    state: FunctionState | None = None
    runtime: str = ""
    # Part of the name or the title; the case of ASCII letters does not matter.
    text: str = ""
    sort: FunctionSort = FunctionSort.CREATED
    descending: bool = False
