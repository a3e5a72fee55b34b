"""Orders an instance from a template: makes its descriptors and its spec, and hands them over.

What comes of the order is told by the instance's own events; see `births`.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from control_plane.adapters.embedded.host.instance import Failure, Instance, new_instance_id
from control_plane.adapters.embedded.host.log_pipes import LogPipe
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.slot_table import SlotTable
from control_plane.adapters.embedded.host.specs import sandbox_of, seal, spec_of
from control_plane.adapters.embedded.host.status_socket import status_pair
from control_plane.adapters.embedded.host.template_process import TemplateProcess
from control_plane.domain.desired import HostTarget

__all__ = ["Order", "Spawning", "StartFailed"]


class StartFailed(Exception):
    """An instance could not even be ordered."""

    def __init__(self, code: str, message: str, *, template_gone: bool = False) -> None:
        super().__init__(message)
        self.failure = Failure(code, message)
        # Not the function's fault: its template ended in this moment.
        self.template_gone = template_gone


@dataclass(frozen=True, slots=True)
class Order:
    """What to start, from which template, on which socket."""

    wanted: HostTarget
    listener: socket.socket
    template: TemplateProcess
    one_shot: bool = False
    # Confined and then kept waiting, until `Births.let_go`.
    held: bool = False


class Spawning:
    """Hands orders over to templates."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def order(self, order: Order) -> tuple[Instance, bool]:
        """Return the instance and whether the template took the order. Raises StartFailed."""
        machine, template = self._machine, order.template
        uid = self._uid(template)
        try:
            spec = spec_of(machine.config, order.wanted, uid, secrets=True)
        except ValueError as error:
            if template.level == 1:
                machine.uids.give_back(uid)
            raise StartFailed("crashed", f"a secret cannot be opened: {error}") from error
        spec["profile"] = order.one_shot
        instance, theirs, log_end = self._make(order, uid)
        sandbox = sandbox_of(machine, order.wanted, uid)
        sandbox["tmp_folder"] = machine.tmp.make(instance.id, uid)
        doors = machine.groups.doors(instance.group)
        sealed = seal(spec)
        own = [sealed, order.listener.fileno(), instance.slots.descriptor, log_end, theirs.fileno()]
        handed = template.send({"op": "spawn", "instance": instance.id, "sandbox": sandbox}, [*own, *doors])
        for descriptor in (sealed, log_end, *doors):
            os.close(descriptor)
        theirs.close()
        return instance, handed

    def _uid(self, template: TemplateProcess) -> int | None:
        if template.level == 2:
            # Below a level-2 template there is one user id: its own.
            return template.uid
        try:
            return self._machine.uids.take()
        except LookupError as error:
            raise StartFailed("crashed", str(error)) from error

    def _make(self, order: Order, uid: int | None) -> tuple[Instance, socket.socket, int]:
        machine, wanted, warm = self._machine, order.wanted, order.template.level == 2
        identity = new_instance_id()
        log_descriptor, log_end = os.pipe2(os.O_CLOEXEC)
        ours, theirs = status_pair()
        instance = Instance(
            id=identity,
            wanted=wanted,
            level=order.template.level,
            slots=SlotTable.create(wanted.limits.concurrency),
            log=LogPipe(log_descriptor, wanted.function, wanted.version, identity),
            status=ours,
            activated_ms=machine.loop.clock.unix_ms(),
            started=machine.loop.clock.monotonic(),
            uid=uid,
            template=order.template.id if warm else "",
            one_shot=order.one_shot,
            held=order.held,
            group=machine.groups.reserve(wanted.limits.memory_mb, once=warm),
        )
        return instance, theirs, log_end
