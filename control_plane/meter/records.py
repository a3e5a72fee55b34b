"""Lines of the two logs -> the domain's records. Anything else in them becomes a ValueError.

The access log's format is the gateway adapter's; this module adds what the
database demands of every value: numbers that fit, text without NULs.
"""

from __future__ import annotations

import json
from typing import Any

from control_plane.adapters.gateway.access_log import AccessRecord, parse_line
from control_plane.domain.metering import Call, InstanceExit, InstanceStart, StreamEnd

__all__ = ["access_record", "host_record"]

# Milliseconds and bytes above these are damage, and sums of them would not fit a column.
_LONGEST_MS = 2**33
_LATEST_MS = 2**43
_MOST_BYTES = 2**46
_MOST_MEMORY_MB = 2**22
# The ids of a trace, of two spans, and the flags, each behind a dash.
_LONGEST_TRACE = 69
# The status of an instance whose end only its template saw.
_UNSEEN = -1


def access_record(line: bytes) -> Call | StreamEnd:
    """Return the call or the end of a stream that one line tells of. Raises ValueError."""
    record = parse_line(line)
    if isinstance(record, AccessRecord):
        found: Call | StreamEnd = Call(
            record.id,
            # Mostly the usage id again; the same text twice would only fill the disk.
            "" if record.request_id == record.id else record.request_id,
            record.organization,
            record.project,
            record.function,
            record.version,
            record.key,
            record.target,
            record.accepted_ms,
            record.method,
            record.status,
            record.termination,
            record.why,
            record.queue_ms,
            record.connect_ms,
            record.response_ms,
            record.active_ms,
            record.bytes_in,
            record.bytes_out or 0,
            record.mode == "stream",
            record.memory_mb,
            record.trace[:_LONGEST_TRACE],
        )
        _check_call(record)
    else:
        found = StreamEnd(
            record.id,
            record.started_ms,
            record.active_ms,
            record.queue_ms,
            record.bytes_in,
            record.bytes_out,
            record.termination,
            record.status,
        )
        _check(record.active_ms, record.queue_ms, record.started_ms, record.status)
        _check_bytes(record.bytes_in, record.bytes_out)
    # Plain ASCII without escapes holds nothing that a database refuses.
    if b"\\u" in line or not line.isascii():
        texts: dict[str, Any] = {
            name: _storable(value) for name, value in found._asdict().items() if isinstance(value, str)
        }
        found = found._replace(**texts)
    return found


def host_record(line: bytes) -> InstanceStart | InstanceExit:
    """Return what one line of the host's records tells. Raises ValueError."""
    try:
        raw = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(raw, dict) or raw.get("v") != 1:
        raise ValueError("not an object of format 1")
    if raw.get("kind") == "start":
        return _start(raw)
    if raw.get("kind") == "exit":
        return _exit(raw)
    raise ValueError(f"kind {raw.get('kind')!r} is unknown")


def _start(raw: dict[str, Any]) -> InstanceStart:
    start = InstanceStart(
        _text(raw, "instance"),
        _text(raw, "target"),
        _text(raw, "version"),
        _whole(raw, "activated_ms"),
        _whole(raw, "ready_ms"),
        _whole(raw, "level"),
    )
    _check(0, 0, start.activated_ms, start.level)
    _check(0, 0, start.ready_ms, 0)
    return start


def _exit(raw: dict[str, Any]) -> InstanceExit:
    end = InstanceExit(
        _text(raw, "instance"),
        _text(raw, "target"),
        _text(raw, "version"),
        _text(raw, "reason"),
        _UNSEEN if raw.get("status", 0) is None else _whole(raw, "status"),
        _whole(raw, "peak_mb"),
        _whole(raw, "served"),
        _whole(raw, "at_ms"),
    )
    _check(0, 0, end.at_ms, 0)
    _check_bytes(end.peak_mb, end.served)
    # The kernel's raw wait status has 16 bits.
    if abs(end.status) >= 2**16 or end.peak_mb > _MOST_MEMORY_MB:
        raise ValueError("the status or the memory is out of range")
    return end


def _check_call(record: AccessRecord) -> None:
    longest = max(record.queue_ms, record.connect_ms, record.response_ms)
    _check(longest, record.active_ms, record.accepted_ms, record.status)
    _check_bytes(record.bytes_in, record.bytes_out or 0)
    if min(record.queue_ms, record.connect_ms, record.response_ms) < -1:
        raise ValueError("a duration is negative")
    if not 0 <= record.memory_mb <= _MOST_MEMORY_MB:
        raise ValueError("the memory limit is out of range")


def _check(longest_ms: int, active_ms: int, at_ms: int, status: int) -> None:
    if not (-1 <= longest_ms < _LONGEST_MS and -1 <= active_ms < _LONGEST_MS):
        raise ValueError("a duration is out of range")
    if not 0 <= at_ms < _LATEST_MS:
        raise ValueError("a time is out of range")
    if not -1000 < status < 1000:
        raise ValueError("the status is out of range")


def _check_bytes(first: int, second: int) -> None:
    if not (0 <= first < _MOST_BYTES and 0 <= second < _MOST_BYTES):
        raise ValueError("a number of bytes is out of range")


def _storable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError(f"{name} is no short text")
    return _storable(value)


def _whole(raw: dict[str, Any], name: str) -> int:
    value = raw.get(name)
    # The host may know a peak in fractions of a megabyte; whole ones are stored.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise ValueError(f"{name} is no number")
    return int(value)
