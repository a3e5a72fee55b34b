"""Exit records: each instance's end is written once its status is known, then it leaves the store.

In this order: a host that is killed in between leaves the instance in the
store, and the next one writes the record again.
"""

from __future__ import annotations

from control_plane.adapters.embedded.host.instance import STORED, Instance
from control_plane.adapters.embedded.host.machine import Machine

__all__ = ["Exits"]

_TRIES = 3
_PAUSE_S = 0.01


class Exits:
    """Accounts for ended instances."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        # How many still wait for whoever reaps orphans.
        self.unrecorded = 0

    def account(self, instance: Instance, served: int) -> None:
        """Write the record of an instance that has ended, at the latest in a moment."""
        self.unrecorded += 1
        self._try(instance, served, _TRIES)

    def _try(self, instance: Instance, served: int, tries: int) -> None:
        machine = self._machine
        ended = machine.reaper.take(instance.pid, adopted=machine.supervised)
        # The init of a level-2 template keeps its children's statuses to itself.
        if ended.status is None and instance.level == 1 and instance.pid and tries:
            machine.loop.after(_PAUSE_S, lambda: self._try(instance, served, tries - 1))
            return
        self.unrecorded -= 1
        if instance.one_shot or instance.held:
            return
        if instance.pid:
            machine.records.write(
                "exit",
                instance=instance.id,
                target=instance.wanted.id,
                version=instance.wanted.version,
                reason=instance.reason,
                status=ended.status,
                peak_mb=round(max(instance.peak_mb, ended.peak_mb), 1),
                served=served,
                at_ms=machine.loop.clock.unix_ms(),
            )
        machine.store.drop(*(f"{kind}:{instance.id}" for kind in STORED))
