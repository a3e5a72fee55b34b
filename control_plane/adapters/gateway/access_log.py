"""One line of the gateway's access log as a typed record.

The lines are written by HAProxy with the formats in `log_format`, their keys
stand in docs/contracts.md. This module is pure: it parses one line and raises
on anything that the gateway could not have written. Reading files, offsets
and pricing may not live here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

__all__ = ["AccessRecord", "EndRecord", "MalformedLine", "parse_line"]

# HAProxy cuts a line at 65,535 bytes, so a longer one is not its own.
LONGEST_LINE = 65_535


class MalformedLine(ValueError):
    """The line is not a record of the gateway: cut, foreign or damaged."""


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """One call, written before its answer went out.

    Times are whole milliseconds; -1 means that the call never got that far.
    `why` is set exactly when the gateway itself answered.
    """

    id: str
    # Unix milliseconds at which the request's headers had arrived.
    accepted_ms: int
    request_id: str
    organization: str
    project: str
    function: str
    version: str
    key: str
    target: str
    # The status sent to the caller; -1 when the caller left before any.
    status: int
    # HAProxy's termination state, e.g. "----" or "sH--".
    termination: str
    why: str
    queue_ms: int
    connect_ms: int
    response_ms: int
    # Until the answer's headers, when written before the answer.
    active_ms: int
    method: str
    path: str
    # The request's Content-Length; 0 when it has none.
    bytes_in: int
    # The answer's Content-Length; None when it has none.
    bytes_out: int | None
    # "sync", "stream", or empty for a call that was refused before routing.
    mode: str
    memory_mb: int
    # The trace's id in hex, and `-span-flags-parent` while traces are exported; empty for a call
    # that was refused, and in records of older gateways.
    trace: str = ""


@dataclass(frozen=True, slots=True)
class EndRecord:
    """How a streamed call ended; `id` is the usage id of its access record."""

    id: str
    started_ms: int
    active_ms: int
    queue_ms: int
    # Bytes on the wire from the caller and to the caller, headers included.
    bytes_in: int
    bytes_out: int
    termination: str
    status: int


_ACCESS_KEYS = frozenset(
    [
        "v",
        "id",
        "t",
        "rid",
        "org",
        "prj",
        "fn",
        "ver",
        "key",
        "tgt",
        "st",
        "ts",
        "why",
        "tw",
        "tc",
        "tr",
        "ta",
        "m",
        "path",
        "in",
        "out",
        "mode",
        "mem",
    ]
)
_END_KEYS = frozenset(["v", "end", "t", "ta", "tw", "in", "out", "ts", "st"])


def _whole(record: dict[str, str], key: str, empty: int | None = None) -> int:
    """Read a whole number; HAProxy writes `+` before one that may still grow."""
    text = record[key]
    if text == "" and empty is not None:
        return empty
    digits = text.removeprefix("+")
    if not digits.removeprefix("-").isdecimal() or not digits.isascii() or len(digits) > 20:
        raise MalformedLine(f"{key} is {text!r}, not a whole number")
    return int(digits)


def _fields(line: bytes) -> dict[str, str]:
    if len(line) > LONGEST_LINE:
        raise MalformedLine(f"the line has {len(line)} bytes, more than {LONGEST_LINE}")
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedLine(f"not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise MalformedLine("not a JSON object")
    if any(not isinstance(value, str) for value in parsed.values()):
        raise MalformedLine("a value is not a string")
    if parsed.get("v") != "1":
        raise MalformedLine(f"format {parsed.get('v')!r} is unknown; this reader knows 1")
    return parsed


def _access(record: dict[str, str]) -> AccessRecord:
    if not record["id"]:
        raise MalformedLine("the usage id is empty")
    out = record["out"]
    return AccessRecord(
        id=record["id"],
        accepted_ms=_whole(record, "t"),
        request_id=record["rid"],
        organization=record["org"],
        project=record["prj"],
        function=record["fn"],
        version=record["ver"],
        key=record["key"],
        target=record["tgt"],
        status=_whole(record, "st", -1),
        termination=record["ts"],
        why=record["why"],
        queue_ms=_whole(record, "tw", -1),
        connect_ms=_whole(record, "tc", -1),
        response_ms=_whole(record, "tr", -1),
        active_ms=_whole(record, "ta", -1),
        method=record["m"],
        path=record["path"],
        bytes_in=_whole(record, "in", 0),
        bytes_out=None if out == "" else _whole(record, "out"),
        mode=record["mode"],
        memory_mb=_whole(record, "mem", 0),
        trace=record.get("trc", ""),
    )


def _end(record: dict[str, str]) -> EndRecord:
    if not record["end"]:
        raise MalformedLine("the usage id is empty")
    return EndRecord(
        id=record["end"],
        started_ms=_whole(record, "t"),
        active_ms=_whole(record, "ta"),
        queue_ms=_whole(record, "tw", -1),
        bytes_in=_whole(record, "in", 0),
        bytes_out=_whole(record, "out", 0),
        termination=record["ts"],
        status=_whole(record, "st", -1),
    )


def parse_line(line: bytes) -> AccessRecord | EndRecord:
    """Read one line, without or with its newline. Raises MalformedLine."""
    record = _fields(line.rstrip(b"\n"))
    # What a gateway wrote before it recorded traces is still to be counted.
    if record.keys() - {"trc"} == _ACCESS_KEYS:
        return _access(record)
    if record.keys() == _END_KEYS:
        return _end(record)
    raise MalformedLine(f"the keys {sorted(record)} are those of no record")
