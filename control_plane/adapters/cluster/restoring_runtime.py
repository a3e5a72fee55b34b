"""A Runtime of one machine whose layers are copies: what is missing comes back before it shall run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.adapters.cluster.s3_layers import S3Layers
from control_plane.domain.desired import HostState, HostTarget
from control_plane.ports import Prepared, Runtime, TestCall, TestOutcome

__all__ = ["RestoringRuntime"]


@dataclass(frozen=True, slots=True)
class RestoringRuntime:
    """Runs versions on a runtime that finds their layers in folders."""

    runtime: Runtime
    layers: S3Layers

    def apply(self, state: HostState) -> None:
        """Bring what is missing, then make the wanted state so."""
        for target in state.targets:
            self.layers.bring(target.layers)
        self.runtime.apply(state)

    def prepare(self, target: str, timeout_ms: int, digest: str = "") -> Prepared:
        """Load a target's code once and say whether it serves."""
        return self.runtime.prepare(target, timeout_ms, digest)

    def test(self, target: HostTarget, call: TestCall) -> TestOutcome:
        """Run one request in a one-shot instance."""
        self.layers.bring(target.layers)
        return self.runtime.test(target, call)

    def test_logs(self, run: str) -> tuple[Mapping[str, Any], ...]:
        """Return what a test run has written until now."""
        return self.runtime.test_logs(run)

    def cancel_test(self, run: str) -> bool:
        """End a test run."""
        return self.runtime.cancel_test(run)

    def status(self) -> Mapping[str, Any]:
        """Return what runs."""
        return self.runtime.status()

    def socket_path(self, target: str) -> str:
        """Return the Unix socket that the gateway connects to."""
        return self.runtime.socket_path(target)
