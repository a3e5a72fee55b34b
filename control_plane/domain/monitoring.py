"""Samples of the machine and of what runs on it: values only.

Reading them is the adapters' and the meter's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Reading", "Running"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample. A value that could not be read is None, never a guess."""

    at_ms: int
    # Name of the reading -> value.
    values: Mapping[str, float | None]
    # (organization, project, function, version) -> running instances; only those that run.
    instances: Mapping[tuple[str, str, str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """What runs of functions in one place, as far as it was told."""

    # (organization, project, function, version's digest) -> running instances; only those that run.
    instances: Mapping[tuple[str, str, str, str], int] = field(default_factory=dict)
    # Readings by name that this place adds to the others', such as calls that wait.
    values: Mapping[str, float] = field(default_factory=dict)
