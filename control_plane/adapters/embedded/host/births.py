"""The life of instances: from the order to a template until `ready`, and their end.

Whatever an instance does or says, it is ended and accounted for exactly once,
by its pidfd. What a target does about it is decided by callbacks.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from control_plane.adapters.embedded.host.confinement import Confinement
from control_plane.adapters.embedded.host.exits import Exits
from control_plane.adapters.embedded.host.instance import Failure, Instance
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.spawning import Order, Spawning, StartFailed
from control_plane.adapters.embedded.host.status_socket import Gone, open_pidfd, receive

__all__ = ["Births"]

_log = logging.getLogger(__name__)
# From handing over until the fork has reported: milliseconds unless the template is stuck.
_BIRTH_TIMEOUT_S = 3.0
_EXIT_TIMEOUT_S = 2.0
# How long an adopted instance's `ready` may still lie unread in its socket.
_LOST_READY_S = 1.0

# Why an instance ended that nobody asked to; for the author's log.
_OWN_ENDS = {
    "crashed": "crashed: the process ended by itself, without an answer to what it was doing",
    "out_of_memory": "out_of_memory: the instance was ended as it used more than limits.memory_mb",
}


class Births:
    """Every living instance, by id."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.instances: dict[str, Instance] = {}
        self.exits = Exits(machine)
        self._spawning = Spawning(machine)
        self._confinement = Confinement(machine.config.sandbox, machine.config.isolation)

    def begin(self, order: Order) -> Instance:
        """Order an instance. Raises StartFailed."""
        instance, handed = self._spawning.order(order)
        self.instances[instance.id] = instance
        if not handed:
            self._end_unborn(instance, Failure("crashed", "the template does not take orders"))
            raise StartFailed("crashed", "the template does not take orders", template_gone=True)
        if not instance.held:
            self._keep(instance)
        self.attend(instance)
        instance.timer = self._machine.loop.after(_BIRTH_TIMEOUT_S, lambda: self._too_slow(instance))
        return instance

    def let_go(self, instance: Instance) -> None:
        """Start what was held: from now on it is an instance like any other."""
        instance.held = False
        instance.activated_ms = self._machine.loop.clock.unix_ms()
        instance.started = self._machine.loop.clock.monotonic()
        self._keep(instance)
        self._machine.store.put(f"pidfd:{instance.id}", instance.pidfd, instance.meta())
        self._give_leave(instance)

    def attend(self, instance: Instance) -> None:
        """Watch everything that an instance can tell."""
        loop = self._machine.loop
        loop.watch(instance.status.fileno(), lambda _events: self._spoke(instance))
        self._machine.pipes.watch(instance.log)
        if instance.pidfd >= 0:
            loop.watch(instance.pidfd, lambda _events: self._ended(instance))
            if instance.phase == "starting":
                # The former host may have been killed before it gave leave; twice does no harm.
                self._give_leave(instance)
                self._machine.loop.after(_LOST_READY_S, lambda: self._perhaps_ready(instance))

    def give_up(self, instance: Instance) -> None:
        """Forget an instance that was never born; a late birth finds its socket closed and ends."""
        if instance.phase != "gone" and not instance.pid:
            self._end_unborn(instance, Failure("start_timeout", "the instance was not started in time"))

    def _keep(self, instance: Instance) -> None:
        """Put what must survive us into the store, before any user code runs."""
        if instance.one_shot:
            return
        meta = instance.meta()
        self._machine.store.put_all(
            [
                (f"slots:{instance.id}", instance.slots.descriptor, meta),
                (f"log:{instance.id}", instance.log.descriptor, meta),
                (f"status:{instance.id}", instance.status.fileno(), meta),
            ]
        )

    def _spoke(self, instance: Instance) -> None:
        while instance.phase != "gone":
            try:
                received = receive(instance.status)
            except Gone:
                self._machine.loop.forget(instance.status.fileno())
                if not instance.pid:
                    self._end_unborn(instance, Failure("crashed", "the instance ended before it began"))
                return
            if received is None:
                return
            message, pid = received
            event = message.get("event")
            if event == "born" and not instance.pid:
                self._born(instance, pid)
            elif event == "ready" and instance.phase == "starting" and instance.pid and not instance.held:
                self._ready(instance, message)
            elif event == "failed" and instance.phase == "starting":
                self._failed(instance, str(message.get("code", "")), str(message.get("message", "")))

    def _born(self, instance: Instance, pid: int) -> None:
        machine = self._machine
        try:
            instance.pidfd = open_pidfd(pid, instance.status)
        except Gone:
            return
        instance.pid = pid
        instance.group = machine.groups.place(instance.group, pid)
        machine.loop.watch(instance.pidfd, lambda _events: self._ended(instance))
        if not instance.one_shot and not instance.held:
            machine.store.put(f"pidfd:{instance.id}", instance.pidfd, instance.meta())
        if instance.level == 2 and (missing := self._confinement.missing(pid)):
            self._refuse(instance, missing)
        elif not instance.held:
            self._give_leave(instance)
        else:
            if instance.timer is not None:
                instance.timer.cancel()
            _call(instance.on_held, instance)

    def _refuse(self, instance: Instance, missing: str) -> None:
        """End an instance that its template did not confine; none of its code has run."""
        instance.failure = Failure("isolation_unavailable", f"the instance was not confined: {missing}")
        _log.error("instance %s was ended: %s", instance.id, instance.failure.message)
        instance.kill("crashed")

    def _give_leave(self, instance: Instance) -> None:
        """Let user code run, from now on against the clock."""
        with contextlib.suppress(OSError):
            instance.status.send(b"g")
        self._restart_timer(instance, self._machine.config.start_timeout_s)

    def _ready(self, instance: Instance, message: dict[str, object]) -> None:
        machine = self._machine
        if instance.timer is not None:
            instance.timer.cancel()
        instance.phase = "serving"
        instance.ready_ms = machine.loop.clock.unix_ms()
        instance.last_active = machine.loop.clock.monotonic()
        import_us, profile = message.get("import_us"), message.get("profile")
        instance.import_us = import_us if isinstance(import_us, int) else 0
        instance.profile = profile if isinstance(profile, list) else []
        if not instance.one_shot:
            machine.records.write(
                "start",
                instance=instance.id,
                target=instance.wanted.id,
                version=instance.wanted.version,
                activated_ms=instance.activated_ms,
                ready_ms=instance.ready_ms,
                level=instance.level,
            )
            machine.store.put(f"pidfd:{instance.id}", instance.pidfd, instance.meta())
        _call(instance.on_ready, instance)

    def _perhaps_ready(self, instance: Instance) -> None:
        """Believe an adopted instance that serves already: the former host took its `ready` along."""
        if instance.phase == "starting" and instance.slots.last_active_ns:
            self._ready(instance, {})

    def _failed(self, instance: Instance, code: str, text: str) -> None:
        known = {
            "import_failed",
            "handler_not_found",
            "isolation_unavailable",
            "out_of_memory",
            "layer_missing",
        }
        instance.failure = Failure(code if code in known else "import_failed", text[:2000])
        self._machine.pipes.note(
            instance.log, "error", f"{instance.failure.code}: {instance.failure.message}"
        )
        self._restart_timer(instance, _EXIT_TIMEOUT_S)

    def _restart_timer(self, instance: Instance, seconds: float) -> None:
        if instance.timer is not None:
            instance.timer.cancel()
        instance.timer = self._machine.loop.after(seconds, lambda: self._too_slow(instance))

    def _too_slow(self, instance: Instance) -> None:
        if instance.phase == "gone":
            return
        seconds = self._machine.config.start_timeout_s if instance.pid else _BIRTH_TIMEOUT_S
        failure = Failure("start_timeout", f"the function was not ready after {seconds:g} seconds")
        instance.failure = instance.failure or failure
        if instance.pid:
            instance.kill("crashed")
        else:
            self._end_unborn(instance, failure)

    def _end_unborn(self, instance: Instance, failure: Failure) -> None:
        instance.failure = instance.failure or failure
        self._release(instance)

    def _ended(self, instance: Instance) -> None:
        # What it said last (why it failed) may still be unread.
        self._spoke(instance)
        if instance.phase != "gone":
            self._release(instance)

    def _release(self, instance: Instance) -> None:
        machine = self._machine
        by_itself = not instance.reason and not instance.held
        if by_itself:
            died_of_memory = instance.group is not None and machine.groups.out_of_memory(instance.group)
            instance.reason = "out_of_memory" if died_of_memory else "crashed"
        served = instance.slots.served
        if instance.group is not None:
            instance.peak_mb = machine.groups.peak_mb(instance.group)
        elif instance.pid:
            instance.peak_mb = max(instance.peak_mb, machine.reaper.peak_mb(instance.pid))
        instance.phase = "gone"
        machine.loop.forget(instance.status.fileno())
        if instance.pidfd >= 0:
            machine.loop.forget(instance.pidfd)
        machine.pipes.finish(instance.log)
        sentence = _OWN_ENDS.get(instance.reason) if by_itself or instance.reason == "out_of_memory" else None
        if sentence and instance.failure is None:
            # Behind all that it said itself: its callers saw only that no answer came.
            machine.pipes.note(instance.log, "error", sentence)
        instance.close()
        if instance.group is not None:
            machine.groups.release(instance.group)
        machine.tmp.remove(instance.id)
        if instance.level == 1:
            machine.uids.give_back(instance.uid)
        del self.instances[instance.id]
        _call(instance.on_gone, instance)
        self.exits.account(instance, served)


def _call(callbacks: list[Callable[[Instance], None]], instance: Instance) -> None:
    for callback in list(callbacks):
        try:
            callback(instance)
        except Exception:  # noqa: BLE001 - the instance's end must be accounted for in any case.
            _log.exception("a callback about instance %s failed", instance.id)
