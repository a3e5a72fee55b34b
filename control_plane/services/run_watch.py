"""Looking at a test run while it runs: its log records as they come, then how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.domain.identity import Actor
from control_plane.domain.test_runs import TestRun
from control_plane.ports import Runtime
from control_plane.services.changes import Changes
from control_plane.services.test_runs import find_run

__all__ = ["RunView", "RunWatch"]


@dataclass(frozen=True, slots=True)
class RunView:
    """The run, its records behind a position, and the position behind the last of them."""

    run: TestRun
    records: tuple[Mapping[str, Any], ...]
    position: int


class RunWatch:
    """Use cases of those who only look; the streams process has nothing else."""

    def __init__(self, changes: Changes, runtime: Runtime) -> None:
        self._changes = changes
        self._runtime = runtime

    def look(self, actor: Actor, function: str, run: str, after: int) -> RunView:
        """Return what the run has written behind a position, and its state."""
        with self._changes.read(actor) as view:
            found = find_run(view, function, run)
        # A run that ended has all of its records in the row, in the same order.
        records = found.logs if found.state != "running" else self._runtime.test_logs(run)
        return RunView(found, tuple(records[after:]), max(after, len(records)))
