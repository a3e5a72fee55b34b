"""The timer that looks at active targets: load, deadlines, idleness, honesty.

It runs only while some target has an instance. It reads shared memory and, when
all slots are taken, the number of waiting connections; no call wakes the host.
"""

from __future__ import annotations

import math
import select

from control_plane.adapters.embedded.host.activation import Activation
from control_plane.adapters.embedded.host.instance import Instance
from control_plane.adapters.embedded.host.listening import Listeners
from control_plane.adapters.embedded.host.loop import Timer
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.memory_watch import MemoryWatch
from control_plane.adapters.embedded.host.retirement import Retirement
from control_plane.adapters.embedded.host.target import Target

__all__ = ["Watcher"]

# Every so many ticks the kernel is asked about targets that claim to be free.
_INSPECT_EVERY = 20
# Connections that wait this long beside free slots: the instance does not accept.
_STALLED_S = 3.0
# What the shim may add to a deadline for peers that send or receive slowly.
_PEERS_S = 110.0
# New instances of one target in one tick: a start costs CPU that running calls need.
_STARTS_PER_TICK = 2


class Watcher:
    """Looks at every target that has an instance."""

    def __init__(
        self, machine: Machine, activation: Activation, listeners: Listeners, retirement: Retirement
    ) -> None:
        self._machine = machine
        self._activation = activation
        self._listeners = listeners
        self._retirement = retirement
        self._memory = MemoryWatch(machine)
        self._timer: Timer | None = None
        self._ticks = 0
        activation.on_active = self.wake

    def wake(self) -> None:
        """Run the timer from now on, until everything is idle."""
        if self._timer is None:
            self._timer = self._machine.loop.after(self._machine.config.tick_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._ticks += 1
        active = [target for target in self._activation.all_targets() if target.instances or target.retiring]
        now = self._machine.loop.clock.monotonic()
        for target in self._hung_up(active):
            self._activation.hung_up(target)
        for target in active:
            self._look(target, now)
        if not self._activation.stopping:
            self._activation.line.make_room()
        if active:
            self.wake()

    def _hung_up(self, active: list[Target]) -> list[Target]:
        poller = select.poll()
        by_descriptor = {}
        for target in active:
            if target.listener is not None:
                poller.register(target.listener, 0)
                by_descriptor[target.listener.fileno()] = target
        return [by_descriptor[descriptor] for descriptor, _ in poller.poll(0)]

    def _look(self, target: Target, now: float) -> None:
        free = taken = 0
        for instance in list(target.instances.values()):
            if instance.phase == "gone":
                continue
            used = self._look_at_instance(target, instance, now)
            if instance.phase == "serving":
                taken += used
                free += instance.slots.slots - used
        inspect = self._ticks % _INSPECT_EVERY == 0
        if target.listener is not None and target.instances and (free <= 0 or inspect):
            self._scale(target, free, now, inspect=inspect)
        if target.retiring:
            self._retire(target, taken, now)

    def _look_at_instance(self, target: Target, instance: Instance, now: float) -> int:
        """Return how many slots are taken; end the instance when it is time."""
        busy = list(instance.slots.busy())
        served = instance.slots.served
        if busy or served != instance.served_seen:
            instance.last_active = now
            instance.served_seen = served
        seen = {}
        for slot in busy:
            key = (slot.slot, slot.sequence)
            seen[key] = instance.first_seen.get(key, now)
        instance.first_seen = seen
        if self._overdue(
            instance, seen, {(slot.slot, slot.sequence): slot.deadline_ns for slot in busy}, now
        ):
            self._machine.pipes.note(instance.log, "error", "the instance was killed: a request was overdue")
            instance.kill("overdue")
        elif (busy or instance.phase == "starting") and self._memory.over_limit(instance):
            instance.kill("out_of_memory")
        elif instance.phase == "serving":
            self._check_age(target, instance, bool(busy), now)
        return len(busy)

    def _overdue(
        self,
        instance: Instance,
        seen: dict[tuple[int, int], float],
        claimed: dict[tuple[int, int], int],
        now: float,
    ) -> bool:
        grace = self._machine.config.overdue_grace_s
        longest = instance.wanted.limits.timeout_ms / 1000 + _PEERS_S
        for key, since in seen.items():
            deadline = claimed[key] / 1e9
            if not instance.wanted.streaming:
                # A far deadline is only believed as long as any honest one could be.
                deadline = min(deadline, since + longest)
            if now > deadline + grace:
                return True
        return False

    def _check_age(self, target: Target, instance: Instance, busy: bool, now: float) -> None:
        config = self._machine.config
        if now - instance.started > config.max_life_s:
            self._activation.end(target, instance, "life")
        elif not busy and now - instance.last_active > config.idle_timeout_s:
            self._activation.end(target, instance, "idle")

    def _scale(self, target: Target, free: int, now: float, *, inspect: bool) -> None:
        state = self._machine.diag.ask(target.listener) if target.listener is not None else None
        if state is None or target.listener is None:
            return
        if inspect and state.backlog != self._machine.config.backlog:
            self._listeners.refresh(target.listener)
        if not state.pending:
            self._not_stalled(target)
        elif free > 0:
            self._stalled(target, now)
        else:
            self._grow(target, state.pending)

    def _grow(self, target: Target, pending: int) -> None:
        limits = target.wanted.limits
        starting = sum(1 for instance in target.instances.values() if instance.phase == "starting")
        accepting = sum(1 for instance in target.instances.values() if instance.accepting)
        missing = math.ceil(pending / limits.concurrency) - starting
        for _ in range(min(missing, limits.instances - accepting, _STARTS_PER_TICK)):
            if self._activation.start(target) is None:
                return

    def _stalled(self, target: Target, now: float) -> None:
        for instance in list(target.instances.values()):
            if instance.phase != "serving":
                continue
            if any(True for _ in instance.slots.busy()) and instance.slots.slots == 1:
                continue
            if instance.stalled_since is None or instance.served_seen != instance.stalled_served:
                instance.stalled_since = now
                instance.stalled_served = instance.served_seen
            elif now - instance.stalled_since > _STALLED_S:
                text = "the instance was killed: connections wait and it does not accept them"
                self._machine.pipes.note(instance.log, "error", text)
                instance.kill("crashed")

    def _not_stalled(self, target: Target) -> None:
        for instance in target.instances.values():
            instance.stalled_since = None

    def _retire(self, target: Target, taken: int, now: float) -> None:
        late = now > target.retire_by
        state = self._machine.diag.ask(target.listener) if target.listener is not None else None
        pending = state.pending if state is not None else 0
        if not late and (pending or taken):
            return
        for instance in list(target.instances.values()):
            if late:
                instance.kill("retired")
            elif instance.phase in {"starting", "serving"}:
                self._activation.end(target, instance, "retired")
        if not target.instances:
            self._activation.disarm(target)
            self._activation.line.forget(target)
            if target.listener is not None:
                self._retirement.forget(target.wanted.id, target.listener)
                target.listener.close()
            self._activation.retiring.remove(target)
