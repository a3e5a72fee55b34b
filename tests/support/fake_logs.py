"""The FunctionLogs port over a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.ports import LogPage

__all__ = ["FakeLogs"]


class FakeLogs:
    """Records by function; a position is how many were seen."""

    def __init__(self) -> None:
        self.records: dict[str, list[Mapping[str, Any]]] = {}

    def read(
        self, function: str, *, after: str = "", request: str = "", limit: int = 100, around_ms: int = 0
    ) -> LogPage:
        kept = self.records.get(function, [])
        start = int(after or 0)
        wanted = [one for one in kept[start:] if not request or one.get("request_id") == request]
        shown = wanted[:limit] if after else wanted[-limit:]
        return LogPage(tuple(shown), str(len(kept)))
