"""Chooses processes of one running Ingot, and kills them: roles, their children, templates, instances.

The supervisor is never chosen, and nothing that does not descend from it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.bench.functions import ask_host
from tests.bench.processes import descendants
from tests.support.system import System, wait_for

__all__ = ["Killer"]


class Killer:
    """Kills one process at a time, by kind; `killed` says how many of each."""

    def __init__(self, system: System, seed: int) -> None:
        self.killed: Counter[str] = Counter()
        self._system = system
        self._random = random.Random(seed)

    def plan(self, kills: int) -> list[str]:
        """Return the kinds to kill, shuffled: a third gateways, the rest even."""
        others = ("host", "worker", "meter", "api", "streams", "template", "instance", "instance")
        gateways = [("gateway master", "gateway worker")[number % 2] for number in range(kills // 3 + 1)]
        rest = [others[number % len(others)] for number in range(kills - len(gateways))]
        return self._random.sample([*gateways, *rest], kills)

    def kill(self, kind: str) -> None:
        """Kill a process of this kind; wait for one where none lives."""

        def killed() -> int:
            pids = self._living(kind)
            if not pids:
                return 0
            pid = self._random.choice(pids)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return 0
            return pid

        pid = wait_for(killed, 30, 0.01)
        self.killed[kind] += 1
        # What its parent has not noticed yet still looks as if it ran; some parents never look.
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not Path(f"/proc/{pid}").exists(), 1)

    def _living(self, kind: str) -> list[int]:
        roles = {name: int(role["pid"]) for name, role in self._system.roles().items()}
        find: dict[str, Callable[[], list[int]]] = {
            "gateway master": lambda: [roles["gateway"]],
            "gateway worker": lambda: descendants(roles["gateway"])[1:],
            # The api's own children too.
            "api": lambda: descendants(roles["api"]),
            "template": lambda: sorted(set(self._sandboxed(roles)) - set(self._instances())),
            "instance": self._instances,
        }
        found = find.get(kind, lambda: [roles[kind]])()
        return [pid for pid in found if pid]

    def _sandboxed(self, roles: dict[str, int]) -> list[int]:
        """Return everything below the host, and what dead hosts and templates left to the supervisor."""
        assert self._system.process is not None
        others = {pid for name, role in roles.items() if name != "host" for pid in descendants(role)}
        return sorted(set(descendants(self._system.process.pid)[1:]) - others - {roles["host"]})

    def _instances(self) -> list[int]:
        # The host may be down at this moment; then the next look will find them.
        with contextlib.suppress(OSError, ValueError):
            targets = ask_host(self._system, "status")["targets"].values()
            return [one["pid"] for target in targets for one in target["instances"] if one["pid"]]
        return []
