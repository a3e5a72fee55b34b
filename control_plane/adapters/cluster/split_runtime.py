"""The `Runtime` port where releases run in a cluster and drafts on this machine's function host.

Previews and test runs have no image, and their authors wait for each save;
what is released has one. Decides who gets what, and does nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from control_plane.domain.desired import HostState, HostTarget
from control_plane.ports import Prepared, Runtime, TestCall, TestOutcome

__all__ = ["SplitRuntime"]


class SplitRuntime:
    """Sends volatile targets to the host, all others to the cluster."""

    def __init__(self, host: Runtime, cluster: Runtime) -> None:
        self._host = host
        self._cluster = cluster
        self._on_host: tuple[HostTarget, ...] = ()

    def apply(self, state: HostState) -> None:
        """Make both parts so; a host that has nothing to do is not asked, as it may not be there."""
        volatile = tuple(target for target in state.targets if target.volatile)
        if volatile != self._on_host:
            self._host.apply(HostState(state.epoch, volatile))
            self._on_host = volatile
        self._cluster.apply(
            replace(state, targets=tuple(target for target in state.targets if not target.volatile))
        )

    def prepare(self, target: str, timeout_ms: int, digest: str = "") -> Prepared:
        """Load a target's code once, where it runs."""
        return self._side(target).prepare(target, timeout_ms, digest)

    def test(self, target: HostTarget, call: TestCall) -> TestOutcome:
        """Run one request on the host."""
        return self._host.test(target, call)

    def test_logs(self, run: str) -> tuple[Mapping[str, Any], ...]:
        """Return what a test run on the host has written."""
        return self._host.test_logs(run)

    def cancel_test(self, run: str) -> bool:
        """End a test run on the host."""
        return self._host.cancel_test(run)

    def status(self) -> Mapping[str, Any]:
        """Return what runs in the cluster, and on the host what it was given."""
        found = dict(self._cluster.status())
        if self._on_host:
            found["targets"] = dict(found["targets"]) | dict(self._host.status()["targets"])
        return found

    def socket_path(self, target: str) -> str:
        """Return where the gateway connects to."""
        return self._side(target).socket_path(target)

    def _side(self, target: str) -> Runtime:
        return self._host if any(known.id == target for known in self._on_host) else self._cluster
