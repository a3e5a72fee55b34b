"""One listening socket and what is known about the version behind it. State only."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from control_plane.adapters.embedded.host.backoff import Backoff
from control_plane.adapters.embedded.host.instance import Failure, Instance
from control_plane.domain.desired import HostTarget

__all__ = ["Target"]


@dataclass(slots=True)
class Target:
    """A target is idle when it has no instance; then its listener is watched."""

    wanted: HostTarget
    # None only for a target that is no longer wanted and was adopted without its socket.
    listener: socket.socket | None
    backoff: Backoff
    instances: dict[str, Instance] = field(default_factory=dict)
    # The listener is in the epoll set.
    armed: bool = False
    # No longer wanted: serves what still waits, then ends.
    retiring: bool = False
    retire_by: float = 0.0
    # Waits for memory since then.
    waiting_since: float | None = None
    # Waits until its runtime's level-1 template is there.
    waits_for_template: bool = False
    failure: Failure | None = None
    # The last lines of the instance that failed.
    log: tuple[str, ...] = ()
    # Called with None when an instance is ready, with the failure when none became so.
    waiters: list[Callable[[Instance | None], None]] = field(default_factory=list)

    @property
    def accepting(self) -> bool:
        """Say whether any instance takes, or soon will take, connections."""
        return any(instance.accepting for instance in self.instances.values())

    def state(self, now: float) -> str:
        """Return the state's name in `status`."""
        phases = {instance.phase for instance in self.instances.values()}
        if "serving" in phases:
            return "serving"
        if "starting" in phases:
            return "starting"
        if self.failure is not None:
            return "backing_off" if self.failure.code in {"crashed", "crash_loop"} else "faulted"
        return "backing_off" if self.backoff.waits(now) else "idle"

    def notify(self, instance: Instance | None) -> None:
        """Tell whoever waits for an instance."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter(instance)
