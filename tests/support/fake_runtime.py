"""The `Runtime` port in memory: runs nothing, answers as its script says.

A version whose digest is in `broken` fails to load; `answers` maps a digest to
what a test run returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.domain.desired import HostState, HostTarget
from control_plane.errors import Invalid, NotFound
from control_plane.ports import Prepared, TestCall, TestOutcome

__all__ = ["FakeRuntime"]


class FakeRuntime:
    """Keeps the wanted state and counts what was asked of it."""

    def __init__(self) -> None:
        self.state = HostState(0, ())
        self.broken: dict[str, tuple[str, str]] = {}
        self.answers: dict[str, TestOutcome] = {}
        self.prepared: list[str] = []
        self.tested: list[tuple[HostTarget, TestCall]] = []

    def apply(self, state: HostState) -> None:
        """Remember the state. Raises Invalid when it is older than the one in force."""
        if state.epoch < self.state.epoch:
            raise Invalid(f"The wanted state has epoch {state.epoch}, older than {self.state.epoch}.")
        if len({target.id for target in state.targets}) != len(state.targets):
            raise Invalid("The wanted state names a target twice.")
        self.state = state

    def prepare(self, target: str, timeout_ms: int, digest: str = "") -> Prepared:
        """Say that the target loads, unless its digest is in `broken`. Raises NotFound."""
        wanted = next((known for known in self.state.targets if known.id == target), None)
        if digest and (wanted is None or wanted.digest != digest):
            return Prepared(ok=False, code="start_timeout", message="It was not wanted in time.")
        if wanted is None:
            raise NotFound(f"There is no target “{target}”.")
        self.prepared.append(target)
        failure = self.broken.get(wanted.digest)
        if failure is not None:
            return Prepared(ok=False, code=failure[0], message=failure[1], log=(failure[1],))
        return Prepared(ok=True, ms=1.0)

    def test(self, target: HostTarget, call: TestCall) -> TestOutcome:
        """Return the scripted outcome, by default 200 with an empty object."""
        self.tested.append((target, call))
        failure = self.broken.get(target.digest)
        if failure is not None:
            return TestOutcome(code=failure[0], message=failure[1])
        default = TestOutcome(200, (("Content-Type", "application/json"),), b"{}", duration_ms=1.0)
        return self.answers.get(target.digest, default)

    def test_logs(self, run: str) -> tuple[Mapping[str, Any], ...]:
        """Return nothing: a run here has ended when its call returns."""
        return ()

    def cancel_test(self, run: str) -> bool:
        """Say that there is nothing left to cancel."""
        return False

    def status(self) -> Mapping[str, Any]:
        """Return every target as idle."""
        targets = {
            target.id: {"state": "idle", "instances": [], "reason": ""} for target in self.state.targets
        }
        return {
            "ok": True,
            "epoch": self.state.epoch,
            "isolation": "none",
            "templates": [],
            "targets": targets,
        }

    def socket_path(self, target: str) -> str:
        """Return a path that nobody listens on."""
        return f"/nowhere/fn/{target}.sock"
