"""Level-2 templates: one for each hot target, with its code imported inside the sandbox.

They are never believed. One is only used while it is in state `ready`, reached
by an import that left neither threads nor sockets; any trouble ends it and the
target goes on from level 1. How one is built is in `template_builds`.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from control_plane.adapters.embedded.host.level1 import Level1
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.proportional_memory import proportional_mb
from control_plane.adapters.embedded.host.template_builds import TemplateBuilds
from control_plane.adapters.embedded.host.template_process import TemplateProcess
from control_plane.domain.desired import HostTarget

__all__ = ["Level2"]

_log = logging.getLogger(__name__)
_STOP_TIMEOUT_S = 1.0
_LOOK_AGAIN_S = 0.1


class Level2:
    """The hot templates, by target, least recently used first."""

    def __init__(
        self, machine: Machine, level1: Level1, busy: Callable[[], bool], in_use: Callable[[str], bool]
    ) -> None:
        """`busy` says whether a cold start is under way; `in_use` whether a template has instances."""
        self._machine = machine
        self._in_use = in_use
        self._templates: OrderedDict[str, TemplateProcess] = OrderedDict()
        self._leaving: dict[str, TemplateProcess] = {}
        self._unfit: dict[str, str] = {}
        # Called with the target of a template that can fork now, and with one that will not any more.
        self.on_ready: list[Callable[[str], None]] = []
        self.on_leaving: list[Callable[[TemplateProcess], None]] = []
        self._builds = TemplateBuilds(machine, level1, busy, self)

    @property
    def off(self) -> str:
        """Say why there are none at all; empty where there can be."""
        return self._builds.off

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
        if self.off or wanted.id in self._templates or wanted.id in self._unfit:
            return
        if self._builds.has(wanted.id):
            return
        held = len(self._templates) + self._builds.waiting
        if only_if_room and held >= self._machine.config.level2_templates:
            return
        self._builds.ask(wanted)

    def drop(self, target: str) -> None:
        """End the target's template; its instances finish first."""
        self._unfit.pop(target, None)
        self._builds.forget(target)
        building = self._builds.present
        if building is not None and building.key == target:
            self._leave(building)
            self._builds.done(building)
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
        building = [] if self._builds.present is None else [self._builds.present]
        return [*self._templates.values(), *building, *self._leaving.values()]

    def stop(self) -> None:
        """End all."""
        self._builds.stop()
        for target in {template.key for template in self._all()}:
            self.drop(target)

    @property
    def building(self) -> bool:
        """Say whether a template is being made or waits to be."""
        return self._builds.present is not None or bool(self._builds.waiting)

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

    def holds(self, target: str) -> bool:
        """Say whether the target has a template."""
        return target in self._templates

    def make_room(self, target: str) -> None:
        """End the templates that were not used for longest, for one more; a second build needs no room."""
        if target in self._templates:
            return
        config = self._machine.config
        while self._templates and (
            len(self._templates) >= config.level2_templates
            or sum(template.memory_mb for template in self._templates.values()) > config.level2_memory_mb
        ):
            self.drop(next(iter(self._templates)))

    def ready(self, template: TemplateProcess) -> None:
        """Let a template fork from now on; one that the target had before leaves."""
        template.state = "ready"
        former = self._templates.pop(template.key, None)
        if former is not None:
            self._leave(former)
        self._templates[template.key] = template
        template.memory_mb = proportional_mb(template.pid)
        self._builds.done(template)
        for callback in self.on_ready:
            callback(template.key)
        self._builds.rebuild()
        self._make_room_for_memory()

    def _make_room_for_memory(self) -> None:
        # The newest stays even if it alone is over: it is the one in use.
        while len(self._templates) > 1 and (
            sum(template.memory_mb for template in self._templates.values())
            > self._machine.config.level2_memory_mb
        ):
            self.drop(next(iter(self._templates)))

    def failed(self, template: TemplateProcess, reason: str) -> None:
        """End a template; one that never got ready makes its target unfit."""
        if template.state in {"leaving", "gone"}:
            if not template.pid:
                self._release(template)
            return
        if template.state == "starting":
            self._unfit[template.key] = reason
        if self._builds.present is template:
            self._leaving[template.id] = template
        template.kill()
        self._builds.done(template)
        if not template.pid:
            self._release(template)

    def ended(self, template: TemplateProcess) -> None:
        """Note the end of a template's process; what it had goes when its instances have."""
        self._machine.loop.forget(template.pidfd)
        self._machine.reaper.take(template.pid, adopted=False)
        for callback in self.on_leaving:
            callback(template)
        if self._templates.get(template.key) is template:
            del self._templates[template.key]
        self._builds.done(template)
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
