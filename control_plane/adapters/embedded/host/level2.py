"""Level-2 templates: one for each hot target, with its code imported inside the sandbox.

They are never believed. One is only used while it is in state `ready`, reached
by an import that left neither threads nor sockets; any trouble ends it and the
target goes on from level 1.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from control_plane.adapters.embedded.host.level1 import Level1
from control_plane.adapters.embedded.host.log_pipes import LogPipe
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.proportional_memory import proportional_mb
from control_plane.adapters.embedded.host.specs import missing_layer, sandbox_of, seal, spec_of
from control_plane.adapters.embedded.host.status_socket import Gone, open_pidfd, receive, status_pair
from control_plane.adapters.embedded.host.template_process import TemplateProcess, open_init
from control_plane.domain.desired import HostTarget

__all__ = ["Level2"]

_log = logging.getLogger(__name__)
_BUILD_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 1.0
_LOOK_AGAIN_S = 0.1
# A template that imported this long without bytecode is worth a second build.
_SLOW_IMPORT_US = 50_000


class Level2:
    """The hot templates, by target, least recently used first."""

    def __init__(
        self, machine: Machine, level1: Level1, busy: Callable[[], bool], in_use: Callable[[str], bool]
    ) -> None:
        """`busy` says whether a cold start is under way; `in_use` whether a template has instances."""
        self._machine = machine
        self._level1 = level1
        # Builds wait for quiet.
        self._busy = busy
        self._in_use = in_use
        self._templates: OrderedDict[str, TemplateProcess] = OrderedDict()
        self._leaving: dict[str, TemplateProcess] = {}
        self._queue: OrderedDict[str, HostTarget] = OrderedDict()
        self._unfit: dict[str, str] = {}
        # Built before the bytecode of all their layers was there, which they can never see.
        self._without_bytecode: dict[str, HostTarget] = {}
        machine.bytecode.on_compiled.append(self._rebuild)
        # Called with the target of a template that can fork now, and with one that will not any more.
        self.on_ready: list[Callable[[str], None]] = []
        self.on_leaving: list[Callable[[TemplateProcess], None]] = []
        self._building: TemplateProcess | None = None
        self._scheduled = False
        self._count = 0
        # Why there are none at all: nesting is refused on this machine.
        self.off = "" if machine.config.level2_templates > 0 else "level2_templates is 0"
        if machine.config.isolation != "namespaces":
            self.off = f"level {machine.config.isolation} cannot give forks a world of their own"

    def get(self, target: str) -> TemplateProcess | None:
        """Return the target's template when it can fork now, and note that it is used."""
        template = self.peek(target)
        if template is not None:
            self._templates.move_to_end(target)
            template.last_used = self._machine.loop.clock.monotonic()
        return template

    def peek(self, target: str) -> TemplateProcess | None:
        """Return the target's template when it can fork now."""
        template = self._templates.get(target)
        return template if template is not None and template.state == "ready" else None

    def want(self, wanted: HostTarget, *, only_if_room: bool = False) -> None:
        """Build one for the target, in the background, unless it is there or unfit."""
        if self.off or wanted.id in self._templates or wanted.id in self._unfit or wanted.id in self._queue:
            return
        if self._building is not None and self._building.key == wanted.id:
            return
        if only_if_room and len(self._templates) + len(self._queue) >= self._machine.config.level2_templates:
            return
        self._queue[wanted.id] = wanted
        self._schedule(self._machine.config.level2_delay_s)

    def drop(self, target: str) -> None:
        """End the target's template; its instances finish first."""
        self._queue.pop(target, None)
        self._unfit.pop(target, None)
        self._without_bytecode.pop(target, None)
        if self._building is not None and self._building.key == target:
            self._leave(self._building)
            self._built(self._building)
        template = self._templates.pop(target, None)
        if template is not None:
            self._leave(template)

    def _leave(self, template: TemplateProcess) -> None:
        for callback in self.on_leaving:
            callback(template)
        self._leaving[template.id] = template
        if template.state == "starting":
            # It has no instances yet, and its import may never look at what it is told.
            template.kill()
        else:
            template.stop()
            self._machine.loop.after(_STOP_TIMEOUT_S, lambda: self._end(template))

    def _end(self, template: TemplateProcess) -> None:
        """End what did not leave when it was told, once no instance lives below its init."""
        if template.state == "gone":
            return
        if self._in_use(template.id):
            self._machine.loop.after(_STOP_TIMEOUT_S, lambda: self._end(template))
        else:
            template.kill()

    def distrust(self, template: TemplateProcess, reason: str) -> None:
        """End a template that did not do what it was asked."""
        _log.warning("the template of %s is ended: %s", template.key, reason)
        self._unfit[template.key] = reason
        template.kill()

    def by_id(self, identity: str) -> TemplateProcess | None:
        """Return a living template by its own id."""
        return next((template for template in self._all() if template.id == identity), None)

    def _all(self) -> list[TemplateProcess]:
        building = [] if self._building is None else [self._building]
        return [*self._templates.values(), *building, *self._leaving.values()]

    def stop(self) -> None:
        """End all."""
        self.off = "the host is stopping"
        self._queue.clear()
        for target in {template.key for template in self._all()}:
            self.drop(target)

    @property
    def building(self) -> bool:
        """Say whether a template is being made or waits to be."""
        return self._building is not None or bool(self._queue)

    def alive(self) -> bool:
        """Say whether any template process is left."""
        return bool(self._all())

    def status(self) -> list[dict[str, Any]]:
        """Return what `status` shows."""
        return [
            {
                "level": 2,
                "target": template.key,
                "state": template.state,
                "memory_mb": round(template.memory_mb, 1),
            }
            for template in self._all()
            if template.state != "leaving"
        ] + [{"level": 2, "target": key, "state": "unfit", "reason": why} for key, why in self._unfit.items()]

    def _schedule(self, delay: float) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._machine.loop.after(delay, self._build_next)

    def _build_next(self) -> None:
        self._scheduled = False
        if not self._queue or self.off or self._building is not None:
            return
        if self._busy():
            self._schedule(0.1)
            return
        _, wanted = self._queue.popitem(last=False)
        template1 = self._level1.get(wanted.runtime)
        if template1 is None or template1.state != "ready" or missing_layer(self._machine.config, wanted):
            self._schedule(0.1)
            return
        if wanted.id not in self._templates:
            self._make_room()
        self._become(template1, wanted)

    def _make_room(self) -> None:
        config = self._machine.config
        while self._templates and (
            len(self._templates) >= config.level2_templates
            or sum(template.memory_mb for template in self._templates.values()) > config.level2_memory_mb
        ):
            self.drop(next(iter(self._templates)))

    def _become(self, template1: TemplateProcess, wanted: HostTarget) -> None:
        machine = self._machine
        try:
            uid = machine.uids.take()
        except LookupError:
            return
        self._count += 1
        identity = f"level2-{wanted.id}-{os.getpid()}-{self._count}"
        spec_descriptor = seal(spec_of(machine.config, wanted, uid, secrets=False))
        ours, theirs = status_pair()
        log_descriptor, log_end = os.pipe2(os.O_CLOEXEC)
        log = LogPipe(log_descriptor, wanted.function, wanted.version, identity)
        template = TemplateProcess(identity, 2, wanted.id, ours, uid=uid, log=log)
        sandbox = sandbox_of(machine, wanted, uid)
        order = {"op": "become", "template": identity, "sandbox": sandbox}
        handed = template1.send(order, [spec_descriptor, theirs.fileno(), log_end])
        for descriptor in (spec_descriptor, log_end):
            os.close(descriptor)
        theirs.close()
        machine.pipes.watch(log)
        if not machine.bytecode.complete(wanted):
            self._without_bytecode[wanted.id] = wanted
        self._building = template
        machine.loop.watch(ours.fileno(), lambda _events: self._spoke(template, wanted))
        template.timer = machine.loop.after(
            _BUILD_TIMEOUT_S, lambda: self._failed(template, "its import took too long")
        )
        if not handed:
            self._failed(template, "level 1 does not take orders")

    def _spoke(self, template: TemplateProcess, wanted: HostTarget) -> None:
        while template.state != "gone":
            try:
                received = receive(template.channel)
            except Gone:
                self._machine.loop.forget(template.channel.fileno())
                self._failed(template, "it closed its control socket")
                return
            if received is None:
                return
            message, pid = received
            event = message.get("event")
            if event == "born" and not template.pid:
                self._born(template, wanted, pid)
            elif event == "ready" and template.state == "starting" and template.pid:
                self._ready(template, message)
            elif event == "failed" and template.state == "starting":
                if message.get("code") == "isolation_unavailable":
                    self.off = str(message.get("message", ""))[:300] or "nesting is refused"
                self._failed(template, str(message.get("message", "its import failed"))[:300])

    def _born(self, template: TemplateProcess, wanted: HostTarget, pid: int) -> None:
        machine = self._machine
        try:
            template.pidfd = open_pidfd(pid, template.channel)
        except Gone:
            return
        template.pid = pid
        template.init = open_init(pid)
        template.group = machine.groups.place(machine.groups.reserve(wanted.limits.memory_mb), pid)
        machine.loop.watch(template.pidfd, lambda _events: self._ended(template))
        machine.store.put(
            f"pidfd:{template.id}", template.pidfd, {"kind": "template", "pid": pid, "uid": template.uid}
        )
        if template.state == "leaving":
            # It was dropped before it was there.
            template.kill()
            return
        with contextlib.suppress(OSError):
            template.channel.send(b"g")

    def _ready(self, template: TemplateProcess, message: dict[str, object]) -> None:
        if template.timer is not None:
            template.timer.cancel()
        if message.get("threads") or message.get("sockets"):
            self._failed(template, "its import leaves threads or sockets behind")
            return
        template.state = "ready"
        former = self._templates.pop(template.key, None)
        if former is not None:
            self._leave(former)
        self._templates[template.key] = template
        template.memory_mb = proportional_mb(template.pid)
        import_us = message.get("import_us")
        if not isinstance(import_us, int) or import_us < _SLOW_IMPORT_US:
            self._without_bytecode.pop(template.key, None)
        self._built(template)
        for callback in self.on_ready:
            callback(template.key)
        self._rebuild()
        self._make_room_for_memory()

    def _rebuild(self) -> None:
        """Build anew, once, what was slow to import and would be faster now; the present one serves on."""
        for target, wanted in list(self._without_bytecode.items()):
            if target in self._templates and self._machine.bytecode.complete(wanted):
                del self._without_bytecode[target]
                self._queue[target] = wanted
                self._schedule(self._machine.config.level2_delay_s)

    def _make_room_for_memory(self) -> None:
        # The newest stays even if it alone is over: it is the one in use.
        while len(self._templates) > 1 and (
            sum(template.memory_mb for template in self._templates.values())
            > self._machine.config.level2_memory_mb
        ):
            self.drop(next(iter(self._templates)))

    def _failed(self, template: TemplateProcess, reason: str) -> None:
        if template.state in {"leaving", "gone"}:
            if not template.pid:
                self._release(template)
            return
        if template.state == "starting":
            self._unfit[template.key] = reason
        if self._building is template:
            self._leaving[template.id] = template
        template.kill()
        self._built(template)
        if not template.pid:
            self._release(template)

    def _built(self, template: TemplateProcess) -> None:
        if self._building is template:
            self._building = None
            self._schedule(0.0)

    def _ended(self, template: TemplateProcess) -> None:
        self._machine.loop.forget(template.pidfd)
        self._machine.reaper.take(template.pid, adopted=False)
        for callback in self.on_leaving:
            callback(template)
        if self._templates.get(template.key) is template:
            del self._templates[template.key]
        self._built(template)
        template.state = "leaving"
        self._leaving[template.id] = template
        self._release_unused(template)

    def _release_unused(self, template: TemplateProcess) -> None:
        """Release all that it had, and end what its import left, once no instance lives below its init."""
        if self._in_use(template.id):
            self._machine.loop.after(_LOOK_AGAIN_S, lambda: self._release_unused(template))
            return
        template.kill()
        self._release(template)

    def _release(self, template: TemplateProcess) -> None:
        if template.state == "gone":
            return
        machine = self._machine
        machine.loop.forget(template.channel.fileno())
        if template.log is not None:
            machine.pipes.finish(template.log)
        template.close()
        if template.group is not None:
            machine.groups.release(template.group)
        machine.uids.give_back(template.uid)
        machine.store.drop(f"pidfd:{template.id}")
        self._leaving.pop(template.id, None)
