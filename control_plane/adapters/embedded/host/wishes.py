"""Makes the wanted state so: new sockets listen, changed targets start anew, the rest retires."""

from __future__ import annotations

import random
import socket
from dataclasses import replace

from control_plane.adapters.embedded.host.activation import Activation
from control_plane.adapters.embedded.host.backoff import Backoff
from control_plane.adapters.embedded.host.instance import Instance
from control_plane.adapters.embedded.host.listening import Listeners
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.retirement import Retirement
from control_plane.adapters.embedded.host.target import Target
from control_plane.adapters.embedded.host.wanted import parse_state
from control_plane.domain.desired import HostState, HostTarget
from control_plane.errors import Invalid

__all__ = ["Wishes"]


class Wishes:
    """The wanted state in force."""

    def __init__(
        self, machine: Machine, activation: Activation, listeners: Listeners, retirement: Retirement
    ) -> None:
        self._machine = machine
        self._activation = activation
        self._listeners = listeners
        self._retirement = retirement
        self.epoch = 0

    def apply(self) -> None:
        """Read the file and make it so. Raises Invalid and changes nothing if it is malformed."""
        state = self._read()
        if state.epoch < self.epoch:
            raise Invalid(
                f"The wanted state has epoch {state.epoch}, older than {self.epoch}, which is in force.",
                field="/epoch",
            )
        wanted_ids = {wanted.id for wanted in state.targets}
        for identity in [known for known in self._activation.targets if known not in wanted_ids]:
            self.retire(identity)
        self._machine.tenancy.settle(wanted.organization for wanted in state.targets)
        for wanted in state.targets:
            known = self._activation.targets.get(wanted.id)
            if known is None:
                self._add(wanted, self._listeners.make(wanted.id))
            elif known.wanted != wanted:
                self._change(known, wanted)
        self.epoch = state.epoch
        self._retirement.take_in_force(self._machine.config.desired)

    def restore(self) -> None:
        """At the start: take sockets from the store where they are still right, make the others."""
        kept = {
            name.removeprefix("listen:"): meta
            for name, meta in self._machine.store.names()
            if name.startswith("listen:")
        }
        state = self._read()
        self.epoch = state.epoch
        wanted_ids = {wanted.id for wanted in state.targets}
        self._machine.tenancy.settle(wanted.organization for wanted in state.targets)
        for wanted in state.targets:
            listener = None
            if wanted.id in kept:
                listener = self._listeners.restore(wanted.id, int(kept[wanted.id].get("inode", 0)))
            self._add(wanted, listener or self._listeners.make(wanted.id))
        for wanted, listener in self._retirement.restore():
            self._end(Target(wanted, listener, Backoff(random.random)))
        self._retire_unwanted({name: int(kept[name].get("inode", 0)) for name in set(kept) - wanted_ids})
        for path in self._listeners.stale(wanted_ids):
            path.unlink(missing_ok=True)
        self._retirement.take_in_force(self._machine.config.desired)

    def adopt(self, instance: Instance, target: str) -> None:
        """Give an instance from before a restart to its target; without one it drains."""
        ending = (found for found in self._activation.retiring if found.wanted.id == target)
        owner = self._activation.targets.get(target) or next(ending, None)
        if owner is None:
            owner = Target(instance.wanted, None, Backoff(random.random), retiring=True)
            owner.retire_by = self._machine.loop.clock.monotonic() + self._machine.config.drain_s
            self._activation.retiring.append(owner)
        self._activation.attach(owner, instance)
        self._activation.disarm(owner)
        self._activation.on_active()

    def retire(self, identity: str) -> None:
        """Listen no more; serve what waits, then end."""
        target = self._activation.targets.pop(identity)
        self._listeners.unlink(identity)
        if target.listener is not None:
            self._retirement.keep(target.wanted, target.listener)
        self._machine.store.drop(f"listen:{identity}")
        self._activation.level2.drop(identity)
        self._activation.line.forget(target)
        self._end(target)

    def _retire_unwanted(self, inodes: dict[str, int]) -> None:
        """Serve what waits for targets that ceased to be wanted while no host ran."""
        former = self._retirement.formerly_wanted() if inodes else {}
        for identity, inode in inodes.items():
            listener = self._listeners.restore(identity, inode) if identity in former else None
            if listener is None:
                self._machine.store.drop(f"listen:{identity}")
            else:
                self._activation.targets[identity] = Target(
                    former[identity], listener, Backoff(random.random)
                )
                self.retire(identity)

    def _end(self, target: Target) -> None:
        target.retiring = True
        target.retire_by = self._machine.loop.clock.monotonic() + self._machine.config.drain_s
        self._activation.retiring.append(target)
        self._activation.arm(target)
        self._activation.on_active()

    def restart(self, identity: str, *, starting_too: bool = False) -> None:
        """End the target's instances gracefully; the next connection starts anew.

        One that is still starting is new already, unless what it was told has changed.
        """
        target = self._activation.targets[identity]
        target.backoff.succeeded()
        target.failure = None
        for instance in list(target.instances.values()):
            if starting_too or instance.phase == "serving":
                self._activation.end(target, instance, "retired")

    def _add(self, wanted: HostTarget, listener: socket.socket) -> None:
        target = Target(wanted, listener, Backoff(random.random))
        self._activation.targets[wanted.id] = target
        self._activation.arm(target)
        if wanted.warm:
            self._activation.level2.want(wanted, only_if_room=True)

    def _change(self, target: Target, wanted: HostTarget) -> None:
        limits = replace(wanted.limits, instances=target.wanted.limits.instances)
        same_code = replace(wanted, warm=target.wanted.warm, limits=limits) == target.wanted
        target.wanted = wanted
        if not same_code:
            self._activation.level2.drop(wanted.id)
            self.restart(wanted.id, starting_too=True)
        if wanted.warm:
            self._activation.level2.want(wanted, only_if_room=True)

    def _read(self) -> HostState:
        path = self._machine.config.desired
        try:
            return parse_state(path.read_bytes())
        except FileNotFoundError:
            return HostState(0, ())
        except OSError as error:
            raise Invalid(f"The wanted state cannot be read: {error}") from error
