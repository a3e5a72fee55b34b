"""The `Telemetry` port on one machine: the function host says what runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from control_plane.domain.monitoring import Running

__all__ = ["HostTelemetry"]


class HostTelemetry:
    """Counts instances in the host's status."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def read(self) -> Running:
        """Return the instances of each version that has some. Raises what the host's status raises."""
        found: dict[tuple[str, str, str, str], int] = {}
        for target in self._status()["targets"].values():
            if target["instances"]:
                key = (target["organization"], target["project"], target["function"], target["version"])
                found[key] = found.get(key, 0) + len(target["instances"])
        return Running(found)
