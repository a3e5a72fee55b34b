"""Building level-2 templates: one at a time, in the background, as long as nobody waits for a cold start.

From the order to level 1, over the birth of the process, to the first thing it
says of its import. What becomes of a template then, and of all that it had, is
for `level2`.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from control_plane.adapters.embedded.host.level1 import Level1
from control_plane.adapters.embedded.host.log_pipes import LogPipe
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.specs import missing_layer, sandbox_of, seal, spec_of
from control_plane.adapters.embedded.host.status_socket import Gone, open_pidfd, receive, status_pair
from control_plane.adapters.embedded.host.template_process import TemplateProcess, open_init
from control_plane.domain.desired import HostTarget

__all__ = ["Keeper", "TemplateBuilds"]

_BUILD_TIMEOUT_S = 60.0
# A template that imported this long without bytecode is worth a second build.
_SLOW_IMPORT_US = 50_000


class Keeper(Protocol):
    """Who keeps the templates that are built."""

    def holds(self, target: str) -> bool:
        """Say whether the target has a template."""
        ...

    def make_room(self, target: str) -> None:
        """End what must go before one more is built."""
        ...

    def ready(self, template: TemplateProcess) -> None:
        """Take over a template whose import left nothing behind."""
        ...

    def failed(self, template: TemplateProcess, reason: str) -> None:
        """End a template that is not to be used."""
        ...

    def ended(self, template: TemplateProcess) -> None:
        """Take note that its process has ended."""
        ...


class TemplateBuilds:
    """The templates that are wanted and not there yet."""

    def __init__(self, machine: Machine, level1: Level1, busy: Callable[[], bool], keeper: Keeper) -> None:
        """`busy` says whether a cold start is under way; builds wait for quiet."""
        self._machine = machine
        self._level1 = level1
        self._busy = busy
        self._keeper = keeper
        self._queue: OrderedDict[str, HostTarget] = OrderedDict()
        # Built before the bytecode of all their layers was there, which they can never see.
        self._without_bytecode: dict[str, HostTarget] = {}
        machine.bytecode.on_compiled.append(self.rebuild)
        # The one that is being built.
        self.present: TemplateProcess | None = None
        self._scheduled = False
        self._count = 0
        # Why there are none at all: nesting is refused on this machine.
        self.off = "" if machine.config.level2_templates > 0 else "level2_templates is 0"
        if machine.config.isolation != "namespaces":
            self.off = f"level {machine.config.isolation} cannot give forks a world of their own"

    @property
    def waiting(self) -> int:
        """Return how many are asked for and not begun."""
        return len(self._queue)

    def has(self, target: str) -> bool:
        """Say whether the target's is being built or waits to be."""
        return target in self._queue or (self.present is not None and self.present.key == target)

    def ask(self, wanted: HostTarget) -> None:
        """Build one for the target when it is quiet."""
        self._queue[wanted.id] = wanted
        self._schedule(self._machine.config.level2_delay_s)

    def forget(self, target: str) -> None:
        """Do not begin the target's any more."""
        self._queue.pop(target, None)
        self._without_bytecode.pop(target, None)

    def done(self, template: TemplateProcess) -> None:
        """Go on with the next one, if this is the one that was being built."""
        if self.present is template:
            self.present = None
            self._schedule(0.0)

    def stop(self) -> None:
        """Begin none any more."""
        self.off = "the host is stopping"
        self._queue.clear()

    def rebuild(self) -> None:
        """Build anew, once, what was slow to import and would be faster now; the present one serves on."""
        for target, wanted in list(self._without_bytecode.items()):
            if self._keeper.holds(target) and self._machine.bytecode.complete(wanted):
                del self._without_bytecode[target]
                self.ask(wanted)

    def _schedule(self, delay: float) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._machine.loop.after(delay, self._build_next)

    def _build_next(self) -> None:
        self._scheduled = False
        if not self._queue or self.off or self.present is not None:
            return
        if self._busy():
            self._schedule(0.1)
            return
        _, wanted = self._queue.popitem(last=False)
        template1 = self._level1.get(wanted.runtime)
        if template1 is None or template1.state != "ready" or missing_layer(self._machine.config, wanted):
            self._schedule(0.1)
            return
        self._keeper.make_room(wanted.id)
        self._become(template1, wanted)

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
        self.present = template
        machine.loop.watch(ours.fileno(), lambda _events: self._spoke(template, wanted))
        template.timer = machine.loop.after(
            _BUILD_TIMEOUT_S, lambda: self._keeper.failed(template, "its import took too long")
        )
        if not handed:
            self._keeper.failed(template, "level 1 does not take orders")

    def _spoke(self, template: TemplateProcess, wanted: HostTarget) -> None:
        while template.state != "gone":
            try:
                received = receive(template.channel)
            except Gone:
                self._machine.loop.forget(template.channel.fileno())
                self._keeper.failed(template, "it closed its control socket")
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
                self._keeper.failed(template, str(message.get("message", "its import failed"))[:300])

    def _born(self, template: TemplateProcess, wanted: HostTarget, pid: int) -> None:
        machine = self._machine
        try:
            template.pidfd = open_pidfd(pid, template.channel)
        except Gone:
            return
        template.pid = pid
        template.init = open_init(pid)
        template.group = machine.groups.place(machine.groups.reserve(wanted.limits.memory_mb), pid)
        machine.loop.watch(template.pidfd, lambda _events: self._keeper.ended(template))
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
            self._keeper.failed(template, "its import leaves threads or sockets behind")
            return
        import_us = message.get("import_us")
        if not isinstance(import_us, int) or import_us < _SLOW_IMPORT_US:
            self._without_bytecode.pop(template.key, None)
        self._keeper.ready(template)
