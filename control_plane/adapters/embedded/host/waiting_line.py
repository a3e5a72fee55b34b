"""Targets that wait for memory, and the admission of new instances."""

from __future__ import annotations

from collections.abc import Callable

from control_plane.adapters.embedded.host.births import Births
from control_plane.adapters.embedded.host.budget import Holding, Want, decide, next_in_line
from control_plane.adapters.embedded.host.instance import Instance
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.target import Target

__all__ = ["WaitingLine"]


class WaitingLine:
    """Applies the rules of `budget` to the living instances."""

    def __init__(
        self,
        machine: Machine,
        births: Births,
        evict: Callable[[Instance], None],
        again: Callable[[Target], None],
    ) -> None:
        """`evict` ends an instance; `again` lets a target try once more."""
        self._machine = machine
        self._births = births
        self._evict = evict
        self._again = again
        self._waiting: dict[str, Target] = {}

    def admit(self, target: Target) -> bool:
        """Say whether one more instance fits; else make room and put the target in line."""
        now = self._machine.loop.clock.monotonic()
        want = _want(target, now)
        others = {waiting.wanted.organization for waiting in self._waiting.values()}
        verdict = decide(self._machine.config.memory_mb, self._holdings(), want, others)
        if verdict.admit:
            return True
        for identity in verdict.evict:
            self._evict(self._births.instances[identity])
        if not target.accepting:
            target.waiting_since = now
            self._waiting[target.wanted.id] = target
        return False

    def forget(self, target: Target) -> None:
        """Take a target out of the line."""
        self._waiting.pop(target.wanted.id, None)
        target.waiting_since = None

    def serve(self) -> None:
        """Give freed memory to whoever is first in line; the others keep their place."""
        wants = [_want(target, target.waiting_since or 0.0) for target in self._waiting.values()]
        for want in next_in_line(self._holdings(), wants):
            target = self._waiting.pop(want.target, None)
            if target is not None:
                target.waiting_since = None
                self._again(target)
                if target.waiting_since is not None:
                    target.waiting_since = want.since

    def make_room(self) -> None:
        """Let whoever waits have what became idle since it came, as nobody else looks again."""
        now = self._machine.loop.clock.monotonic()
        wants = [_want(target, target.waiting_since or now) for target in self._waiting.values()]
        for want in next_in_line(self._holdings(), wants):
            others = {waiting.organization for waiting in wants if waiting.target != want.target}
            verdict = decide(self._machine.config.memory_mb, self._holdings(), want, others)
            for identity in verdict.evict:
                self._evict(self._births.instances[identity])
            if verdict.admit:
                self.serve()
            if verdict.admit or verdict.evict:
                return

    def _holdings(self) -> list[Holding]:
        # Standbys are no instances yet: they are charged with the templates.
        now = self._machine.loop.clock.monotonic()
        return [_holding(instance, now) for instance in self._births.instances.values() if not instance.held]


def _want(target: Target, since: float) -> Want:
    wanted = target.wanted
    return Want(wanted.id, wanted.organization, wanted.limits.memory_mb, since)


def _holding(instance: Instance, now: float) -> Holding:
    used = instance.phase != "serving" or any(True for _ in instance.slots.busy())
    # A call may have ended since the timer last looked.
    since = instance.last_active if instance.slots.served == instance.served_seen else now
    return Holding(
        instance.id,
        instance.wanted.organization,
        instance.wanted.limits.memory_mb,
        None if used else since,
        instance.phase == "leaving",
    )
