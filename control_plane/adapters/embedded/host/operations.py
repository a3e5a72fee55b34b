"""The operations of the control socket: apply, prepare, status, test, watch, cancel, retire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from control_plane.adapters.embedded.host.activation import Activation
from control_plane.adapters.embedded.host.births import Births
from control_plane.adapters.embedded.host.control import Answer, Operation
from control_plane.adapters.embedded.host.instance import Instance
from control_plane.adapters.embedded.host.interpreters import find_interpreter
from control_plane.adapters.embedded.host.loop import Timer
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.spawning import StartFailed
from control_plane.adapters.embedded.host.specs import missing_layer
from control_plane.adapters.embedded.host.target import Target
from control_plane.adapters.embedded.host.trial import Trial, request_bytes
from control_plane.adapters.embedded.host.wanted import parse_target
from control_plane.adapters.embedded.host.wishes import Wishes
from control_plane.errors import IngotError, Invalid, NotFound, Unavailable

__all__ = ["Operations"]

_LONGEST_MS = 15 * 60_000


class Operations:
    """What each request of the control socket does."""

    def __init__(self, machine: Machine, births: Births, activation: Activation, wishes: Wishes) -> None:
        self._machine, self._births = machine, births
        self._activation, self._wishes = activation, wishes
        self._trials: dict[str, Trial] = {}
        # Called after each new wanted state; each says whether it has what it waited for.
        self._expecting: list[Callable[[], bool]] = []

    def table(self) -> dict[str, Operation]:
        """Return the operations by name."""
        return {
            "apply": self.apply,
            "prepare": self.prepare,
            "status": self.status,
            "test": self.test,
            "watch": self.watch,
            "cancel": self.cancel,
            "retire": self.retire,
        }

    def apply(self, _request: Mapping[str, Any], answer: Answer) -> None:
        """Make the wanted state so."""
        self._wishes.apply()
        targets = {identity: {"state": "listening"} for identity in self._activation.targets}
        answer({"ok": True, "epoch": self._wishes.epoch, "targets": targets})
        self._expecting = [waiter for waiter in self._expecting if not waiter()]

    def retire(self, request: Mapping[str, Any], answer: Answer) -> None:
        """End a target's instances; the next connection starts anew."""
        self._wishes.restart(self._target(request).wanted.id)
        answer({"ok": True})

    def prepare(self, request: Mapping[str, Any], answer: Answer) -> None:
        """Load the target's code once, or prove that an instance has.

        With a digest, wait first until the target is wanted with this code.
        """
        if not self._is_wanted(request):
            self._expect(request, answer)
            return
        target = self._target(request)
        timeout_s = _milliseconds(request, 30_000) / 1000
        began = self._machine.loop.clock.monotonic()
        serving = [instance for instance in target.instances.values() if instance.phase == "serving"]
        if serving:
            answer({"ok": True, "ms": 0.0, "level": serving[0].level})
            return

        def done(instance: Instance | None) -> None:
            timer.cancel()
            if instance is not None:
                spent = (self._machine.loop.clock.monotonic() - began) * 1000
                answer({"ok": True, "ms": round(spent, 1), "level": instance.level})
            else:
                answer(_unprepared(target))

        def too_late() -> None:
            if done in target.waiters:
                target.waiters.remove(done)
                text = f"the function was not ready after {timeout_s:g} seconds"
                answer({"ok": False, "code": "start_timeout", "message": text, "log": list(target.log)})

        timer: Timer = self._machine.loop.after(timeout_s, too_late)
        target.waiters.append(done)
        if not target.accepting:
            self._activation.start(target)

    def test(self, request: Mapping[str, Any], answer: Answer) -> None:
        """Run one request in a one-shot instance."""
        wanted = parse_target(request.get("target"), "/target")
        timeout_s = _milliseconds(request, 30_000) / 1000
        try:
            content = request_bytes(request["request"])
        except (ValueError, KeyError, TypeError) as error:
            raise Invalid(f"The test request is refused: {error}", field="/request") from error
        problem = self._cannot_run(wanted.runtime, wanted.organization)
        digest = missing_layer(self._machine.config, wanted)
        if problem is None and digest is not None:
            problem = ("layer_missing", f"the layer {digest} is not on this machine")
        if problem is not None:
            answer({"ok": False, "code": problem[0], "message": problem[1], "logs": []})
            return
        template = self._activation.level1.get(wanted.runtime)
        if template is None:
            raise Unavailable(f"The template of {wanted.runtime} is not there; try again in a moment.")
        run = str(request.get("run", ""))

        def ended(result: Mapping[str, Any]) -> None:
            self._trials.pop(run, None)
            answer(result)

        trial = Trial(self._machine, self._births, template, ended)
        try:
            trial.begin(wanted, content, timeout_s)
        except StartFailed as error:
            answer({"ok": False, "code": error.failure.code, "message": error.failure.message, "logs": []})
            return
        if run:
            self._trials[run] = trial

    def watch(self, request: Mapping[str, Any], answer: Answer) -> None:
        """Say what a test run has written until now."""
        trial = self._trials.get(str(request.get("run", "")))
        answer({"ok": True, "running": trial is not None, "logs": list(trial.logs) if trial else []})

    def cancel(self, request: Mapping[str, Any], answer: Answer) -> None:
        """End a test run; whoever waits for it is told so."""
        trial = self._trials.get(str(request.get("run", "")))
        if trial is not None:
            trial.cancel()
        answer({"ok": True, "running": trial is not None})

    def status(self, _request: Mapping[str, Any], answer: Answer) -> None:
        """Say what runs."""
        now = self._machine.loop.clock.monotonic()
        answer(
            {
                "ok": True,
                "epoch": self._wishes.epoch,
                "isolation": self._machine.config.isolation,
                "wakeups": self._machine.loop.wakeups,
                "memory_mb": self._machine.config.memory_mb,
                "level2": self._activation.level2.off or "on",
                "templates": [
                    {"level": 1, "runtime": template.key, "state": template.state, "pid": template.pid}
                    for template in self._activation.level1.all()
                ]
                + self._activation.level2.status(),
                "standbys": self._activation.standbys.ready,
                # Made in the background, so that later starts are faster.
                "preparing": self._activation.level2.building
                or self._activation.standbys.making
                or self._machine.bytecode.busy,
                "targets": {
                    identity: _described(target, now) for identity, target in self._activation.targets.items()
                },
                "retiring": len(self._activation.retiring),
            }
        )

    def _is_wanted(self, request: Mapping[str, Any]) -> bool:
        digest = request.get("digest", "")
        target = self._activation.targets.get(str(request.get("target", "")))
        return not digest or (target is not None and target.wanted.digest == digest)

    def _expect(self, request: Mapping[str, Any], answer: Answer) -> None:
        """Prepare as soon as the wanted state has the target with this code, or give up in time."""

        def arrived() -> bool:
            if not self._is_wanted(request):
                return False
            timer.cancel()
            try:
                self.prepare(request, answer)
            except IngotError as error:
                answer({"ok": False, "code": error.code, "message": error.message})
            return True

        def too_late() -> None:
            if arrived in self._expecting:
                self._expecting.remove(arrived)
                text = "the target was not wanted with this code in time"
                answer({"ok": False, "code": "start_timeout", "message": text, "log": []})

        self._expecting.append(arrived)
        timer = self._machine.loop.after(_milliseconds(request, 30_000) / 1000, too_late)

    def _cannot_run(self, runtime: str, organization: str) -> tuple[str, str] | None:
        foreign = self._machine.tenancy.refusal(organization)
        if foreign:
            return "isolation_unavailable", foreign
        if find_interpreter(runtime) is None:
            return "no_interpreter", f"this machine has no {runtime}; install it"
        reason = self._activation.level1.failures.get(runtime)
        return ("isolation_unavailable", reason) if reason else None

    def _target(self, request: Mapping[str, Any]) -> Target:
        target = self._activation.targets.get(str(request.get("target", "")))
        if target is None:
            raise NotFound(f"There is no target “{str(request.get('target', ''))[:40]}”.", field="/target")
        return target


def _described(target: Target, now: float) -> dict[str, Any]:
    failure, wanted = target.failure, target.wanted
    return {
        "organization": wanted.organization,
        "project": wanted.project,
        "function": wanted.function,
        "version": wanted.version,
        "state": target.state(now),
        "reason": f"{failure.code}: {failure.message}" if failure else "",
        "retry_in_s": round(target.backoff.waits(now), 1),
        "log": list(target.log) if failure else [],
        "instances": [
            {
                "id": instance.id,
                "phase": instance.phase,
                "level": instance.level,
                "pid": instance.pid,
                "served": instance.slots.served,
                "busy": sum(1 for _ in instance.slots.busy()),
            }
            for instance in target.instances.values()
        ],
    }


def _unprepared(target: Target) -> dict[str, Any]:
    failure = target.failure
    if failure is None:
        return {
            "ok": False,
            "code": "start_timeout",
            "message": "no memory or template was free in time",
            "log": [],
        }
    return {"ok": False, "code": failure.code, "message": failure.message, "log": list(target.log)}


def _milliseconds(request: Mapping[str, Any], default: int) -> int:
    value = request.get("timeout_ms", default)
    if type(value) is not int or not 1 <= value <= _LONGEST_MS:
        raise Invalid(f"timeout_ms must be a whole number from 1 to {_LONGEST_MS}.", field="/timeout_ms")
    return value
