"""What gateway and host recorded, as values: the facts that usage is made of.

Nothing here judges; what a record counts as is decided in metering.py.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Call", "InstanceExit", "InstanceStart", "StreamEnd"]


class Call(NamedTuple):
    """One access record. Durations are milliseconds, -1 where a phase was not reached."""

    id: str
    request_id: str
    organization: str
    project: str
    function: str
    version: str
    api_key: str
    target: str
    # Unix milliseconds at which the gateway took the request.
    accepted_ms: int
    method: str
    status: int
    # HAProxy's two letters for who ended the session, in which phase.
    termination: str
    # The gateway's own refusal code; empty when an instance answered.
    refusal: str
    queue_ms: int
    connect_ms: int
    response_ms: int
    active_ms: int
    bytes_in: int
    bytes_out: int
    streaming: bool
    memory_mb: int
    # The trace's id in hex, as the instance saw it; empty where none was made. While traces are
    # exported, the gateway's span, the flags and the caller's span follow (domain/traces.py).
    trace: str = ""


class StreamEnd(NamedTuple):
    """The end record of a streaming call, from the inner frontend."""

    id: str
    started_ms: int
    active_ms: int
    # How long the call waited for an instance, inside of `active_ms`.
    queue_ms: int
    bytes_in: int
    bytes_out: int
    termination: str
    status: int


class InstanceStart(NamedTuple):
    """The host's word that an instance became ready."""

    instance: str
    target: str
    version: str
    activated_ms: int
    ready_ms: int
    level: int


class InstanceExit(NamedTuple):
    """The host's word that an instance ended, and why."""

    instance: str
    target: str
    version: str
    reason: str
    status: int
    peak_mb: int
    served: int
    at_ms: int
