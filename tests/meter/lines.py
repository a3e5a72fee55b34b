"""Log lines as the gateway and the host write them, for tests and measurements."""

from __future__ import annotations

import json
from typing import Any

BEGAN_MS = 1_760_000_000_000


def access_line(number: int, **changes: str) -> bytes:
    """Return the line of one answered call, a millisecond after the call before."""
    at = BEGAN_MS + number
    record = {
        "v": "1",
        "id": f"{at}-{number:032x}",
        "t": str(at),
        "rid": f"{at}-{number:032x}",
        "org": "org_01k0000000000000000000000a",
        "prj": "prj_01k0000000000000000000000a",
        "fn": f"fn_01k00000000000000000000{number % 20:03d}",
        "ver": f"ver_01k0000000000000000000{number % 20:03d}",
        "key": f"key_01k0000000000000000000{number % 7:03d}",
        "tgt": f"t{number % 20:016x}",
        "st": "200",
        "ts": "--",
        "why": "",
        "tw": "0",
        "tc": "0",
        "tr": "12",
        "ta": "+12",
        "m": "POST",
        "path": "/acme/orders",
        "in": "120",
        "out": "480",
        "mode": "sync",
        "mem": "256",
        "trc": f"{number:032x}",
    }
    return json.dumps(record | changes, separators=(",", ":")).encode() + b"\n"


def end_line(number: int, **changes: str) -> bytes:
    """Return the end record of the call with this number."""
    at = BEGAN_MS + number
    record = {
        "v": "1",
        "end": f"{at}-{number:032x}",
        "t": str(at),
        "ta": "900",
        "tw": "0",
        "in": "150",
        "out": "9000",
        "ts": "--",
        "st": "200",
    }
    return json.dumps(record | changes, separators=(",", ":")).encode() + b"\n"


def start_line(instance: str, **changes: Any) -> bytes:
    """Return the host's record of a start, 10 ms long."""
    record = {
        "v": 1,
        "kind": "start",
        "instance": instance,
        "target": f"t{0:016x}",
        "version": "ver_01k0000000000000000000000",
        "activated_ms": BEGAN_MS,
        "ready_ms": BEGAN_MS + 10,
        "level": 2,
    }
    return json.dumps(record | changes).encode() + b"\n"


def exit_line(instance: str, **changes: Any) -> bytes:
    """Return the host's record of an exit."""
    record = {
        "v": 1,
        "kind": "exit",
        "instance": instance,
        "target": f"t{0:016x}",
        "version": "ver_01k0000000000000000000000",
        "reason": "idle",
        "status": 0,
        "peak_mb": 40,
        "served": 1,
        "at_ms": BEGAN_MS + 60_000,
    }
    return json.dumps(record | changes).encode() + b"\n"
