"""After a restart: take over the instances that the former host left running.

An instance whose pidfd is not in the store never got leave to run user code;
dropping its status socket ends it. Templates of the former host end when their
last instance does; this host makes its own.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import Any

from control_plane.adapters.embedded.host.births import Births
from control_plane.adapters.embedded.host.instance import STORED, Instance
from control_plane.adapters.embedded.host.log_pipes import LogPipe
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.slot_table import SlotTable
from control_plane.domain.desired import HostTarget, Limits

__all__ = ["adopt_all"]

_log = logging.getLogger(__name__)


def adopt_all(
    machine: Machine, births: Births, find: Callable[[str], HostTarget | None]
) -> list[tuple[str, Instance]]:
    """Return (target id, instance) of all that still live, and drop the rest from the store."""
    held: dict[str, dict[str, dict[str, Any]]] = {}
    for name, meta in machine.store.names():
        kind, _, identity = name.partition(":")
        if kind in STORED:
            held.setdefault(identity, {})[kind] = meta
    adopted = []
    for identity, kinds in held.items():
        if kinds.get("pidfd", {}).get("kind") == "template":
            _watch_old_template(machine, births, identity, kinds["pidfd"])
            continue
        instance = _adopt(machine, identity, kinds, find) if set(kinds) >= set(STORED) else None
        if instance is None:
            machine.store.drop(*(f"{kind}:{identity}" for kind in kinds))
            continue
        births.instances[identity] = instance
        adopted.append((str(kinds["pidfd"]["target"]), instance))
    return adopted


def _adopt(
    machine: Machine,
    identity: str,
    kinds: dict[str, dict[str, Any]],
    find: Callable[[str], HostTarget | None],
) -> Instance | None:
    meta = kinds["pidfd"]
    descriptors = {kind: machine.store.get(f"{kind}:{identity}") for kind in STORED}
    present = {kind: number for kind, number in descriptors.items() if number is not None}
    try:
        if len(present) < len(STORED):
            return None
        slots = SlotTable.adopt(present["slots"])
        wanted = find(str(meta["target"])) or _stand_in(meta, slots.slots)
        status = socket.socket(fileno=os.dup(present["status"]))
        status.setblocking(False)
        log = LogPipe(os.dup(present["log"]), wanted.function, str(meta["version"]), identity)
        instance = Instance(
            id=identity,
            wanted=wanted,
            level=int(meta["level"]),
            slots=slots,
            log=log,
            status=status,
            activated_ms=int(meta["activated_ms"]),
            started=machine.loop.clock.monotonic(),
            uid=meta.get("uid"),
            template=str(meta.get("template", "")),
            adopted=True,
            phase="serving" if meta.get("ready_ms") else "starting",
            pid=int(meta["pid"]),
            pidfd=os.dup(present["pidfd"]),
            ready_ms=int(meta.get("ready_ms", 0)),
            served_seen=slots.served,
            last_active=machine.loop.clock.monotonic(),
        )
        del present["slots"]
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("the instance %s cannot be adopted: %s", identity, error)
        return None
    finally:
        for number in present.values():
            os.close(number)
    machine.uids.claim(instance.uid)
    instance.group = machine.groups.adopt(instance.pid, once=instance.level == 2)
    return instance


def _stand_in(meta: dict[str, Any], slots: int) -> HostTarget:
    """Describe an instance whose target is no longer wanted, as far as its end needs it."""
    return HostTarget(
        id=str(meta["target"]),
        organization=str(meta["organization"]),
        project="",
        function=str(meta["function"]),
        function_name="",
        version=str(meta["version"]),
        number=0,
        digest="",
        runtime="",
        kind="",
        handler="",
        layers={},
        limits=Limits(memory_mb=int(meta["memory_mb"]), concurrency=slots),
    )


def _watch_old_template(machine: Machine, births: Births, identity: str, meta: dict[str, Any]) -> None:
    """End a template of the former host once no instance needs it."""
    descriptor = machine.store.get(f"pidfd:{identity}")
    if descriptor is None:
        return
    machine.uids.claim(meta.get("uid"))

    def ended(_events: int) -> None:
        machine.loop.forget(descriptor)
        os.close(descriptor)
        machine.store.drop(f"pidfd:{identity}")
        machine.uids.give_back(meta.get("uid"))

    def look() -> None:
        if any(instance.template == identity for instance in births.instances.values()):
            machine.loop.after(1.0, look)
            return
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except OSError:
            return

    machine.loop.watch(descriptor, ended, select.EPOLLIN)
    machine.loop.after(0.0, look)
