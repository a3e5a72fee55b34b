"""Chunks of the logs -> one intake. Damage is kept as rejects and never stops what follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from control_plane.domain.metering import Call, InstanceStart
from control_plane.meter.follower import Chunk
from control_plane.meter.records import access_record, host_record
from control_plane.store.usage_intake import ACCESS_LOG, HOST_RECORDS, Intake, Reject

__all__ = ["add_access_chunk", "add_host_chunk"]

_Record = TypeVar("_Record")

# How a record begins. Inside of a JSON text the quotes would be escaped, so this never
# occurs in the middle of a whole record: a torn one before a whole one can be parted.
_ACCESS_BEGIN: Final = b'{"v":"1",'
_HOST_BEGIN: Final = b'{"v":1,'
_SAMPLE: Final = 256
_MOST_REJECTS: Final = 1_000


def add_access_chunk(intake: Intake, chunk: Chunk, source: str = ACCESS_LOG) -> int:
    """Add an access log's lines and return how many there were."""
    lines = _Lines(intake, source, _ACCESS_BEGIN)
    for record in lines.records(chunk, access_record):
        if isinstance(record, Call):
            intake.calls.append(record)
        else:
            intake.ends.append(record)
    return lines.count


def add_host_chunk(intake: Intake, chunk: Chunk, source: str = HOST_RECORDS) -> int:
    """Add the host's records and return how many lines there were."""
    lines = _Lines(intake, source, _HOST_BEGIN)
    for record in lines.records(chunk, host_record):
        if isinstance(record, InstanceStart):
            intake.starts.append(record)
        else:
            intake.exits.append(record)
    return lines.count


class _Lines:
    def __init__(self, intake: Intake, source: str, begin: bytes) -> None:
        self.count = 0
        self._intake = intake
        self._source = source
        self._begin = begin

    def records(self, chunk: Chunk, parse: Callable[[bytes], _Record]) -> list[_Record]:
        found: list[_Record] = []
        if chunk.hole:
            self._reject(chunk.position - chunk.hole, chunk.hole, "a hole without data", b"")
        position = chunk.position
        lines = chunk.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        self.count = len(lines)
        for line in lines:
            try:
                found.append(parse(line))
            except ValueError as error:
                found.extend(self._salvage(position, line, parse, str(error)))
            position += len(line) + 1
        return found

    def _salvage(
        self, position: int, line: bytes, parse: Callable[[bytes], _Record], reason: str
    ) -> list[_Record]:
        """Return the whole records of a damaged line: a writer was killed within the one before."""
        found: list[_Record] = []
        first = line.find(self._begin)
        if first != 0:
            self._reject(position, first if first > 0 else len(line) + 1, reason, line)
        while first >= 0:
            after = line.find(self._begin, first + 1)
            piece = line[first:after] if after >= 0 else line[first:]
            try:
                found.append(parse(piece.rstrip(b"\0")))
            except ValueError as error:
                self._reject(position + first, len(piece), str(error), piece)
            first = after
        return found

    def _reject(self, position: int, length: int, reason: str, data: bytes) -> None:
        rejects = self._intake.rejects
        if len(rejects) < _MOST_REJECTS:
            sample = data.lstrip(b"\0")[:_SAMPLE]
            rejects.append(Reject(self._source, position, length, reason[:200], sample))
            return
        # Damage without end must not fill memory and disk: the last one stands for all that follow.
        last = rejects[-1]
        rejects[-1] = replace(last, length=last.length + length, reason="more of the same")
