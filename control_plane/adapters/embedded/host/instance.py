"""One running copy of a version, as the host knows it: state and its descriptors.

Nothing here decides; targets and the engine do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from control_plane.adapters.embedded.host.log_pipes import LogPipe
from control_plane.adapters.embedded.host.loop import Timer
from control_plane.adapters.embedded.host.slot_table import SlotTable
from control_plane.domain.desired import HostTarget

__all__ = ["STORED", "Failure", "Instance", "Phase", "new_instance_id"]

Phase = Literal["starting", "serving", "leaving", "gone"]
# What of an instance is kept in the supervisor's store, `pidfd` last: without it the rest is worthless.
STORED = ("slots", "log", "status", "pidfd")


def new_instance_id() -> str:
    """Return an id that no other instance of this machine has."""
    return f"i{os.urandom(8).hex()}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an instance or template did not become ready."""

    code: str
    message: str


@dataclass(slots=True)
class Instance:
    """State of one instance from the request to fork until its pidfd says that it ended."""

    id: str
    wanted: HostTarget
    level: int
    slots: SlotTable
    log: LogPipe
    status: socket.socket
    activated_ms: int
    started: float
    uid: int | None = None
    # The level-2 template that it was forked from; it ends with that template.
    template: str = ""
    one_shot: bool = False
    # A standby: forked and confined, without leave to run anything.
    held: bool = False
    adopted: bool = False
    phase: Phase = "starting"
    pid: int = 0
    pidfd: int = -1
    group: Any = None
    ready_ms: int = 0
    import_us: int = 0
    peak_mb: float = 0.0
    profile: list[list[Any]] = field(default_factory=list)
    # Why it was told to end; becomes the reason in its exit record.
    reason: str = ""
    failure: Failure | None = None
    # Its target was faulted already for what ends it.
    blamed: bool = False
    timer: Timer | None = None
    on_held: list[Callable[[Instance], None]] = field(default_factory=list)
    on_ready: list[Callable[[Instance], None]] = field(default_factory=list)
    on_gone: list[Callable[[Instance], None]] = field(default_factory=list)
    # The host's own observations; what the slot table says are claims.
    last_active: float = 0.0
    served_seen: int = 0
    first_seen: dict[tuple[int, int], float] = field(default_factory=dict)
    stalled_since: float | None = None
    stalled_served: int = 0

    @property
    def accepting(self) -> bool:
        """Say whether it takes, or soon will take, connections."""
        return self.phase in {"starting", "serving"}

    def meta(self) -> dict[str, Any]:
        """Return what the next host must know to adopt it."""
        return {
            "target": self.wanted.id,
            "version": self.wanted.version,
            "function": self.wanted.function,
            "organization": self.wanted.organization,
            "memory_mb": self.wanted.limits.memory_mb,
            "level": self.level,
            "uid": self.uid,
            "template": self.template,
            "one_shot": self.one_shot,
            "pid": self.pid,
            "activated_ms": self.activated_ms,
            "ready_ms": self.ready_ms,
        }

    def ask_to_end(self, reason: str) -> None:
        """Stop accepting, finish what runs, exit. Repeated calls keep the first reason."""
        if self.phase in {"leaving", "gone"}:
            return
        self.phase = "leaving"
        self.reason = self.reason or reason
        try:
            self.status.send(b"q")
        except OSError:
            self.signal(signal.SIGTERM)

    def kill(self, reason: str) -> None:
        """End it at once."""
        if self.phase != "gone":
            self.phase = "leaving"
            self.reason = reason
            self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Signal the process itself, never a later owner of its id."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def close(self) -> None:
        """Release the descriptors; the log pipe is closed by its reader."""
        if self.timer is not None:
            self.timer.cancel()
        self.status.close()
        self.slots.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
