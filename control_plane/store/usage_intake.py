"""What the meter hands over for one transaction: values only, no statements and no parsing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from control_plane.domain.metering import Call, InstanceExit, InstanceStart, StreamEnd

__all__ = ["ACCESS_LOG", "HOST_RECORDS", "Intake", "LogMark", "Reject", "Step", "source_of"]

ACCESS_LOG: Final = "access"
HOST_RECORDS: Final = "host"


def source_of(log: str, replica: str) -> str:
    """Return the name under which a log is counted: each gateway that shares the database has its own."""
    return f"{log}:{replica}" if replica else log


@dataclass(frozen=True, slots=True)
class LogMark:
    """How far a log is counted.

    `tail_digest` is the SHA-256 of what stands just before `position`. It tells the file
    apart from every other one, also after a restore or when device numbers change.
    """

    source: str
    position: int
    lines: int
    tail_digest: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """A piece of a log that is no record."""

    source: str
    position: int
    length: int
    reason: str
    sample: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """The move of one log's mark. `before` is None when nothing was counted yet."""

    before: LogMark | None
    after: LogMark


@dataclass(slots=True)
class Intake:
    """Everything between two marks; stored as a whole or not at all."""

    seen_ms: int
    calls: list[Call] = field(default_factory=list)
    ends: list[StreamEnd] = field(default_factory=list)
    starts: list[InstanceStart] = field(default_factory=list)
    exits: list[InstanceExit] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
