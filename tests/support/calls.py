"""Calls of a function, counted as the meter counts them, for tests of what is shown of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from control_plane.domain.metering import Call, InstanceExit, InstanceStart, StreamEnd
from control_plane.domain.versions import Version
from control_plane.store.usage_intake import Intake
from control_plane.store.usage_ledger import UsageLedger

__all__ = ["Counted"]


class Counted:
    """Makes calls of one version and stores them."""

    def __init__(self, usage: Engine, version: Version, now_ms: int) -> None:
        self._ledger = UsageLedger(usage)
        self._version = version
        self.now_ms = now_ms
        self._number = 0

    def call(self, ago_ms: int = 1_000, **changes: Any) -> Call:
        """Store one call, by default a good one a second ago; return it."""
        self._number += 1
        at = self.now_ms - ago_ms
        call = Call(
            id=f"{at:013d}-{self._number:08d}",
            request_id="",
            organization=self._version.organization,
            project=self._version.project,
            function=self._version.function,
            version=self._version.id,
            api_key="",
            target="t1",
            accepted_ms=at,
            method="POST",
            status=200,
            termination="--",
            refusal="",
            queue_ms=2,
            connect_ms=1,
            response_ms=40,
            active_ms=43,
            bytes_in=10,
            bytes_out=20,
            streaming=False,
            memory_mb=128,
            trace=f"{self._number:032x}",
        )._replace(**changes)
        self._ledger.write(Intake(self.now_ms, calls=[call]))
        return call

    def refused(self, code: str, status: int, **changes: Any) -> Call:
        """Store a call that the gateway refused."""
        never = {"target": "", "queue_ms": -1, "connect_ms": -1, "response_ms": -1}
        return self.call(refusal=code, status=status, **{**never, **changes})

    def cold(self, level: int = 2, **changes: Any) -> Call:
        """Store a call that waited 15 ms for an instance."""
        call = self.call(**changes)
        dispatched = call.accepted_ms + call.queue_ms + call.connect_ms
        start = InstanceStart("ins1", call.target, call.version, dispatched + 1, dispatched + 15, level)
        self._ledger.write(Intake(self.now_ms, starts=[start]))
        return call

    def crashed(self, reason: str = "crashed", **changes: Any) -> Call:
        """Store a call whose instance ended in the middle of it."""
        call = self.call(refusal="function_failed", status=502, **changes)
        at = call.accepted_ms + 30
        end = InstanceExit("ins2", call.target, call.version, reason, 9, 40, 0, at)
        self._ledger.write(Intake(self.now_ms, exits=[end]))
        return call

    def streamed(self, active_ms: int = 900, **changes: Any) -> Call:
        """Store a stream that ended."""
        call = self.call(streaming=True, **changes)
        end = StreamEnd(call.id, call.accepted_ms, active_ms, 5, 100, 9_000, "--", 200)
        self._ledger.write(Intake(self.now_ms, ends=[end]))
        return call
