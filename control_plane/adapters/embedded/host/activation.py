"""What happens when somebody knocks: start, wait for memory, or refuse; and when an instance ends.

While a target has an accepting instance its listener is not watched: every
call would wake the host. Whenever it has none, the listener is watched,
level-triggered, so a connection that came in between is never stranded.
"""

from __future__ import annotations

import logging
import select
from collections.abc import Callable
from dataclasses import replace

from control_plane.adapters.embedded.host.births import Births
from control_plane.adapters.embedded.host.instance import Failure, Instance
from control_plane.adapters.embedded.host.interpreters import find_interpreter
from control_plane.adapters.embedded.host.level1 import Level1
from control_plane.adapters.embedded.host.level2 import Level2
from control_plane.adapters.embedded.host.listening import Listeners
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.refusals import Refusals, refusal
from control_plane.adapters.embedded.host.spawning import Order, StartFailed
from control_plane.adapters.embedded.host.specs import missing_layer
from control_plane.adapters.embedded.host.standbys import Standbys
from control_plane.adapters.embedded.host.target import Target
from control_plane.adapters.embedded.host.template_process import TemplateProcess
from control_plane.adapters.embedded.host.waiting_line import WaitingLine

__all__ = ["Activation"]

_log = logging.getLogger(__name__)
# An instance that lived this long or answered anything was no failed start.
_HEALTHY_S = 10.0
_CROWDED_S = 0.05
_MOMENT_S = 0.1
# An instance that never came to life says nothing about the function.
_NOT_ITS_FAULT = {"crashed", "start_timeout"}


class Activation:
    """Starts instances on demand and reacts to their end."""

    def __init__(self, machine: Machine, births: Births, listeners: Listeners) -> None:
        self._machine = machine
        self._births = births
        self._listeners = listeners
        self._refusals = Refusals(machine.loop)
        self.line = WaitingLine(machine, births, self._evict, self._again)
        self.targets: dict[str, Target] = {}
        self.retiring: list[Target] = []
        self.level1 = Level1(machine)
        self.level2 = Level2(machine, self.level1, self._cold_start_under_way, self._has_instances)
        self.standbys = Standbys(machine, births, self.level2, self._cold_start_under_way, self.targets.get)
        self.level1.on_ready.append(self._template_is_back)
        self.stopping = False
        # Called after an instance began, so that the watcher's timer runs.
        self.on_active: Callable[[], None] = _nothing

    def arm(self, target: Target) -> None:
        """Watch the listener, unless an instance does."""
        if target.armed or target.listener is None or self.stopping or target.accepting:
            return
        if target.waiting_since is not None or target.waits_for_template:
            return
        target.armed = True
        self._machine.loop.watch(target.listener.fileno(), lambda events: self._knocked(target, events))

    def disarm(self, target: Target) -> None:
        """Stop watching the listener."""
        if target.armed and target.listener is not None:
            target.armed = False
            self._machine.loop.forget(target.listener.fileno())

    def start(self, target: Target) -> Instance | None:
        """Start one instance if its template, memory and layers are there."""
        problem = self._problem(target)
        if problem is not None:
            self._fail(target, problem, certain=True)
            return None
        if not self.line.admit(target):
            if target.waiting_since is not None:
                self.disarm(target)
            return None
        template = self.level2.get(target.wanted.id) or self.level1.get(target.wanted.runtime)
        if template is None:
            target.waits_for_template = True
            self.disarm(target)
            return None
        return self._begin(target, template)

    def attach(self, target: Target, instance: Instance) -> None:
        """Let an instance belong to the target."""
        target.instances[instance.id] = instance
        instance.on_ready.append(lambda ready: self._is_ready(target, ready))
        instance.on_gone.append(lambda gone: self._is_gone(target, gone))

    def end(self, target: Target, instance: Instance, reason: str) -> None:
        """Ask an instance to end, and watch the listener if nobody else does."""
        if instance.phase not in {"starting", "serving"}:
            return
        instance.ask_to_end(reason)
        if instance.timer is not None:
            instance.timer.cancel()
        instance.timer = self._machine.loop.after(
            self._machine.config.drain_s, lambda: instance.kill(instance.reason)
        )
        self.arm(target)

    def hung_up(self, target: Target) -> None:
        """Replace a listener on which somebody called shutdown(), and fault the version."""
        old = target.listener
        if old is None or target.retiring:
            return
        self.disarm(target)
        self.standbys.drop(target.wanted.id)
        target.listener = self._listeners.make(target.wanted.id)
        old.close()
        for instance in list(target.instances.values()):
            # One deed is one failure, however many instances end for it.
            instance.blamed = True
            instance.kill("crashed")
        failure = Failure("crash_loop", "the function shut its listening socket down")
        self._fail(target, failure, certain=True)

    def _knocked(self, target: Target, events: int) -> None:
        if events & (select.EPOLLHUP | select.EPOLLERR):
            self.hung_up(target)
            return
        if target.accepting:
            self.disarm(target)
            return
        if target.backoff.waits(self._machine.loop.clock.monotonic()):
            self._refuse(target)
            return
        if self.start(target) is None and target.failure is not None and target.armed:
            self._refuse(target)

    def _refuse(self, target: Target) -> None:
        if target.listener is None:
            return
        failure = target.failure or Failure("crashed", "the function ended unexpectedly")
        left = target.backoff.waits(self._machine.loop.clock.monotonic())
        content = refusal(failure.code, failure.message, left)
        if not self._refusals.accept(target.listener, lambda: content):
            # Too many at once: look again in a moment instead of spinning.
            self.disarm(target)
            self._machine.loop.after(_CROWDED_S, lambda: self.arm(target))

    def _problem(self, target: Target) -> Failure | None:
        wanted = target.wanted
        foreign = self._machine.tenancy.refusal(wanted.organization)
        if foreign:
            return Failure("isolation_unavailable", foreign)
        if find_interpreter(wanted.runtime) is None:
            return Failure("no_interpreter", f"this machine has no {wanted.runtime}; install it")
        digest = missing_layer(self._machine.config, wanted)
        if digest is not None:
            return Failure("layer_missing", f"the layer {digest} is not on this machine")
        return None

    def _begin(self, target: Target, template: TemplateProcess) -> Instance | None:
        if target.listener is None:
            return None
        self.disarm(target)
        try:
            instance = self.standbys.take(template)
            if instance is not None:
                self._births.let_go(instance)
            else:
                instance = self._births.begin(Order(target.wanted, target.listener, template))
        except StartFailed as error:
            if template.level == 2:
                self.level2.distrust(template, error.failure.message)
                self.arm(target)
            elif error.template_gone:
                self._in_a_moment(target)
            else:
                self._fail(target, error.failure, certain=True)
            return None
        self.attach(target, instance)
        self.on_active()
        return instance

    def _is_ready(self, target: Target, instance: Instance) -> None:
        if target.failure is not None and target.failure.code not in {"crashed", "crash_loop", "overdue"}:
            # It could not load before; now it does.
            target.backoff.succeeded()
            target.failure = None
        if not target.retiring and not target.wanted.volatile:
            self.level2.want(target.wanted)
            self.standbys.want(target.wanted.id)
            self._machine.bytecode.want(target.wanted)
        target.notify(instance)

    def _is_gone(self, target: Target, instance: Instance) -> None:
        target.instances.pop(instance.id, None)
        if instance.failure is not None or instance.reason in {"crashed", "out_of_memory", "overdue"}:
            self._died(target, instance)
        elif instance.ready_ms:
            target.backoff.succeeded()
            target.failure = None
        if not target.instances and target.waiters and target.waiting_since is None:
            target.notify(None)
        self.arm(target)
        if not self.stopping:
            self.line.serve()

    def _died(self, target: Target, instance: Instance) -> None:
        unborn_of_level2 = instance.level == 2 and not instance.pid
        if unborn_of_level2:
            template = self.level2.by_id(instance.template)
            if template is not None:
                self.level2.distrust(template, "it did not fork an instance")
            return
        if not instance.pid and instance.failure and instance.failure.code in _NOT_ITS_FAULT:
            self._in_a_moment(target)
            return
        if instance.blamed:
            return
        target.log = tuple(instance.log.tail)
        lived = self._machine.loop.clock.monotonic() - instance.started
        if instance.ready_ms and (instance.served_seen or lived > _HEALTHY_S):
            target.backoff.succeeded()
        failure = instance.failure or Failure(instance.reason, _SENTENCES[instance.reason])
        self._fail(target, failure, certain=instance.failure is not None)

    def _fail(self, target: Target, failure: Failure, *, certain: bool) -> None:
        now = self._machine.loop.clock.monotonic()
        delay = target.backoff.failed(now, certain=certain)
        if delay and failure.code in _SENTENCES:
            failure = replace(failure, code="crash_loop", message=f"{failure.message}, again and again")
        target.failure = failure
        _log.warning("target %s: %s: %s", target.wanted.id, failure.code, failure.message)
        if not target.accepting:
            target.notify(None)
        self.arm(target)

    def _in_a_moment(self, target: Target) -> None:
        """Try again soon: what failed was the template, which is being started again."""
        target.waits_for_template = True
        self.disarm(target)

        def again() -> None:
            target.waits_for_template = False
            self._again(target)

        self._machine.loop.after(_MOMENT_S, again)

    def _template_is_back(self, runtime: str) -> None:
        for target in self.all_targets():
            if target.waits_for_template and target.wanted.runtime == runtime:
                target.waits_for_template = False
                self._again(target)

    def _again(self, target: Target) -> None:
        if target.waiters and not target.accepting:
            self.start(target)
        self.arm(target)

    def owner(self, instance: Instance) -> Target | None:
        """Return the target that an instance belongs to."""
        for target in (self.targets.get(instance.wanted.id), *self.retiring):
            if target is not None and instance.id in target.instances:
                return target
        return None

    def all_targets(self) -> list[Target]:
        """Return the wanted targets and those that are ending."""
        return [*self.targets.values(), *self.retiring]

    def _evict(self, instance: Instance) -> None:
        owner = self.owner(instance)
        if owner is not None:
            self.end(owner, instance, "evicted")

    def _has_instances(self, template: str) -> bool:
        return any(instance.template == template for instance in self._births.instances.values())

    def _cold_start_under_way(self) -> bool:
        return any(
            instance.phase == "starting" and not instance.held for instance in self._births.instances.values()
        )


_SENTENCES = {
    "crashed": "the function's process ended unexpectedly",
    "out_of_memory": "the function needed more memory than its limit",
    "overdue": "a request ran past its deadline and the function had to be killed",
    "crash_loop": "the function cannot be kept running",
}


def _nothing() -> None:
    """Stand in until the watcher is there."""
