"""Level-1 templates: for each runtime one trusted process with the shim imported.

They are started when a target first needs their runtime and started again when
they die. A message sent before a template is ready waits in its socket.
"""

from __future__ import annotations

import logging
import os
import random
import socket
from collections.abc import Callable

from control_plane.adapters.embedded.host.backoff import Backoff
from control_plane.adapters.embedded.host.interpreters import find_interpreter
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.status_socket import Gone, receive
from control_plane.adapters.embedded.host.template_process import TemplateProcess, exec_template

__all__ = ["Level1"]

_log = logging.getLogger(__name__)
_READY_TIMEOUT_S = 20.0


class Level1:
    """The trusted templates, by runtime."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._templates: dict[str, TemplateProcess] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._stopping = False
        # Called when a template of a runtime is there again.
        self.on_ready: list[Callable[[str], None]] = []
        # The last reason why a runtime's template could not be had.
        self.failures: dict[str, str] = {}

    def get(self, runtime: str) -> TemplateProcess | None:
        """Return the runtime's template, starting it if need be; None while it cannot be had."""
        template = self._templates.get(runtime)
        if template is None and not self._stopping:
            template = self._start(runtime)
        return template

    def all(self) -> list[TemplateProcess]:
        """Return the living templates."""
        return list(self._templates.values())

    def stop(self) -> None:
        """End all; instances go on without them."""
        self._stopping = True
        for template in self._templates.values():
            template.stop()

    def _start(self, runtime: str) -> TemplateProcess | None:
        now = self._machine.loop.clock.monotonic()
        backoff = self._backoffs.setdefault(runtime, Backoff(random.random))
        interpreter = find_interpreter(runtime)
        if interpreter is None or backoff.waits(now):
            return None
        config, loop = self._machine.config, self._machine.loop
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        ours.setblocking(False)
        try:
            pid = exec_template(interpreter, str(config.shim / "ingot_shim" / "template.py"), theirs)
        except OSError as error:
            self.failures[runtime] = str(error)
            ours.close()
            return None
        finally:
            theirs.close()
        template = TemplateProcess(f"level1-{runtime}", 1, runtime, ours, pid=pid, pidfd=os.pidfd_open(pid))
        self._templates[runtime] = template
        template.send(self._hello(), [])
        loop.watch(ours.fileno(), lambda _events: self._spoke(template))
        loop.watch(template.pidfd, lambda _events: self._ended(template))
        template.timer = loop.after(_READY_TIMEOUT_S, template.kill)
        return template

    def _hello(self) -> dict[str, object]:
        config, uids = self._machine.config, self._machine.config.uid_base
        return {
            "level": 1,
            "sandbox": str(config.sandbox),
            "validator": str(config.validator),
            "isolation": config.isolation,
            "roots": [str(config.layers), str(config.bytecode)],
            "uids": [uids, uids + config.uid_count] if uids is not None else [0, 0],
        }

    def _spoke(self, template: TemplateProcess) -> None:
        try:
            received = receive(template.channel)
        except Gone:
            self._machine.loop.forget(template.channel.fileno())
            return
        if received is None:
            return
        message = received[0]
        if message.get("event") == "ready":
            template.state = "ready"
            self._machine.bytecode.tags[template.key] = str(message.get("tag", ""))
            self.failures.pop(template.key, None)
            self._backoffs[template.key].succeeded()
            if template.timer is not None:
                template.timer.cancel()
            for callback in self.on_ready:
                callback(template.key)
        elif message.get("event") == "failed":
            self.failures[template.key] = str(message.get("message", ""))[:500]

    def _ended(self, template: TemplateProcess) -> None:
        loop, runtime = self._machine.loop, template.key
        self._spoke(template)
        loop.forget(template.channel.fileno())
        loop.forget(template.pidfd)
        template.close()
        self._machine.reaper.take(template.pid, adopted=False)
        self._templates.pop(runtime, None)
        if self._stopping:
            return
        delay = self._backoffs[runtime].failed(loop.clock.monotonic())
        _log.error("the template of %s ended: %s", runtime, self.failures.get(runtime, "no reason given"))
        loop.after(delay + 0.01, lambda: self._start_again(runtime))

    def _start_again(self, runtime: str) -> None:
        self.get(runtime)
