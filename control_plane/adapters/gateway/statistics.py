"""Reads what HAProxy counts by itself: open connections, waiting calls, requests of the API.

Counters of a worker begin anew with it, so differences are taken here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Final

from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.adapters.gateway.runtime_socket import RuntimeSocket

__all__ = ["GatewayStatistics", "rows_of"]

# `show stat <proxy> <type> <server>`: 1 is a frontend, 2 a backend, -1 any server.
_FRONTENDS: Final = "show stat -1 1 -1"
_BACKENDS: Final = "show stat -1 2 -1"
_COUNTERS: Final = {"api_requests": "req_tot", "api_refused": "hrsp_4xx", "api_failed": "hrsp_5xx"}


class GatewayStatistics:
    """The serving worker's numbers; counts are since the reading before."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._socket = RuntimeSocket(settings.admin_socket)
        self._counted: dict[str, int] = {}

    def __call__(self) -> dict[str, float]:
        """Return the readings by name. Raises OSError when the gateway does not answer."""
        frontends = {row["pxname"]: row for row in rows_of(self._socket.ask(_FRONTENDS))}
        backends = rows_of(self._socket.ask(_BACKENDS))
        console, functions = frontends.get("console", {}), frontends.get("functions", {})
        api: Mapping[str, str] = next((row for row in backends if row["pxname"] == "api"), {})
        return {
            "connections": float(_number(functions, "scur") + _number(console, "scur")),
            "queued": float(_waiting(backends)),
            # Of the last 1,024 requests; HAProxy keeps no more.
            "api_ms": float(_number(api, "ttime")),
            **self._since(console),
        }

    def _since(self, console: Mapping[str, str]) -> dict[str, float]:
        counts = {name: _number(console, column) for name, column in _COUNTERS.items()}
        before, self._counted = self._counted, counts
        if not before:
            return {}
        # Fewer requests than before are a new worker's: all of its counts are new.
        anew = counts["api_requests"] < before["api_requests"]
        return {name: float(count - (0 if anew else before[name])) for name, count in counts.items()}


def rows_of(answer: str) -> list[dict[str, str]]:
    """Return the rows of `show stat` by column."""
    return list(csv.DictReader(io.StringIO(answer.removeprefix("# ").strip())))


def _waiting(backends: Iterable[Mapping[str, str]]) -> int:
    return sum(_number(row, "qcur") for row in backends if row["pxname"] not in {"api", "streams"})


def _number(row: Mapping[str, str], column: str) -> int:
    text = row.get(column) or ""
    return int(text) if text.isdecimal() else 0
