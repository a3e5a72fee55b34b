"""Standbys: for each hot template one instance that is forked and confined already, and waits for leave.

Forking and confining are most of a cold start and need nothing of the call.
A standby has run no code since the fork, is in no store and on no record; it
ends with its template.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from control_plane.adapters.embedded.host.births import Births
from control_plane.adapters.embedded.host.instance import Instance
from control_plane.adapters.embedded.host.level2 import Level2
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.proportional_memory import proportional_mb
from control_plane.adapters.embedded.host.spawning import Order, StartFailed
from control_plane.adapters.embedded.host.target import Target
from control_plane.adapters.embedded.host.template_process import TemplateProcess

__all__ = ["Standbys"]

# Made this long after they were wanted, and not while a cold start is under way.
_DELAY_S = 0.05


class Standbys:
    """At most one for each level-2 template."""

    def __init__(
        self,
        machine: Machine,
        births: Births,
        level2: Level2,
        busy: Callable[[], bool],
        find: Callable[[str], Target | None],
    ) -> None:
        """`find` returns a wanted target; `busy` says whether a cold start is under way."""
        self._machine, self._births, self._level2 = machine, births, level2
        self._busy, self._find = busy, find
        # By the id of the template.
        self._held: dict[str, Instance] = {}
        # Targets, in the order in which they asked.
        self._queue: dict[str, None] = {}
        self._scheduled = False
        level2.on_ready.append(self.want)
        level2.on_leaving.append(self._end)

    @property
    def making(self) -> bool:
        """Say whether one is being made or waits to be."""
        return bool(self._queue) or any(not instance.pid for instance in self._held.values())

    @property
    def ready(self) -> int:
        """Return how many could be taken now."""
        return sum(1 for instance in self._held.values() if instance.pid)

    def want(self, target: str) -> None:
        """Have one in a moment, if the target's template is hot then."""
        self._queue[target] = None
        self._schedule()

    def take(self, template: TemplateProcess) -> Instance | None:
        """Return the template's standby, to be let go at once; None when there is none."""
        instance = self._held.get(template.id)
        if instance is None or not instance.pid or instance.phase != "starting" or instance.failure:
            return None
        del self._held[template.id]
        return instance

    def drop(self, target: str) -> None:
        """End the standby of a target: what it was given is no longer right."""
        self._queue.pop(target, None)
        for instance in list(self._held.values()):
            if instance.wanted.id == target:
                self._dismiss(instance)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._machine.loop.after(_DELAY_S, self._make_next)

    def _make_next(self) -> None:
        self._scheduled = False
        if not self._queue:
            return
        if not self._busy():
            identity = next(iter(self._queue))
            del self._queue[identity]
            target, template = self._find(identity), self._level2.peek(identity)
            if target is not None and template is not None and template.id not in self._held:
                self._make(target, template)
        if self._queue:
            self._schedule()

    def _make(self, target: Target, template: TemplateProcess) -> None:
        if target.listener is None:
            return
        # A start that fails here would fail in earnest too, and then be told to somebody.
        with contextlib.suppress(StartFailed):
            instance = self._births.begin(Order(target.wanted, target.listener, template, held=True))
            self._held[template.id] = instance
            instance.on_held.append(lambda held: self._is_held(template, held))
            instance.on_gone.append(lambda gone: self._is_gone(template, gone))

    def _is_held(self, template: TemplateProcess, instance: Instance) -> None:
        template.memory_mb = proportional_mb(template.pid) + proportional_mb(instance.pid)

    def _is_gone(self, template: TemplateProcess, instance: Instance) -> None:
        if self._held.get(template.id) is instance:
            del self._held[template.id]

    def _end(self, template: TemplateProcess) -> None:
        instance = self._held.pop(template.id, None)
        if instance is not None:
            self._dismiss(instance)

    def _dismiss(self, instance: Instance) -> None:
        instance.kill("retired")
        self._births.give_up(instance)
