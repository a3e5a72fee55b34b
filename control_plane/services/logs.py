"""A function's log records, for those who may read them."""

from __future__ import annotations

from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor
from control_plane.ports import FunctionLogs, LogPage
from control_plane.services.changes import Changes

__all__ = ["Logs"]


class Logs:
    """Use cases about what functions wrote."""

    def __init__(self, changes: Changes, logs: FunctionLogs) -> None:
        self._changes = changes
        self._logs = logs

    def read(
        self, actor: Actor, function: str, *, after: str = "", request: str = "", limit: int = 100
    ) -> LogPage:
        """Return the newest records, or those behind a position, oldest first."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.LOG_READ)
        return self._logs.read(known.id, after=after, request=request, limit=limit)
