"""Times every statement that an application in this process sends, to its last row.

A driver may hand out the first row long before it has found the last, so each
query is run once more beside the real one and read to its end.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Engine, event

from control_plane.supervisor.keys import load_keys
from tests.bench.open_loop import Answer, Connection
from tests.bench.report import percentile
from tests.support.system import System

__all__ = ["Statement", "StatementTimes", "in_process", "timed_statements"]

# A statement that came less often says nothing about its p90.
_LEAST: Final = 10


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, the route that it was slowest in, and its times there."""

    route: str
    statement: str
    times_ms: list[float]


@dataclass(slots=True)
class StatementTimes:
    """Times in milliseconds by route and statement."""

    route: str = ""
    times: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    # What a route answered instead of 200.
    refused: list[str] = field(default_factory=list)

    def note(self, statement: str, began: float) -> None:
        """Keep one time, since `began`."""
        taken = (time.perf_counter() - began) * 1000
        self.times[self.route, " ".join(statement.split())].append(taken)

    def slowest(self, most: int) -> list[Statement]:
        """Return the statements with the largest p90."""
        known = [Statement(*key, some) for key, some in self.times.items() if len(some) >= _LEAST]
        return sorted(known, key=lambda one: -percentile(one.times_ms, 0.9))[:most]

    def worst_p90_ms(self) -> float:
        """Return the largest p90 of any statement."""
        return percentile(self.slowest(1)[0].times_ms, 0.9)


@contextmanager
def timed_statements(times: StatementTimes) -> Iterator[None]:
    """Note every statement of every engine meanwhile."""

    def before(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        began = time.perf_counter()
        if statement.startswith("SELECT") and "FOR UPDATE" not in statement:
            cursor.connection.execute(statement, parameters).fetchall()
            times.note(statement, began)
        connection.info["began"] = time.perf_counter()

    def after(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("SELECT") or "FOR UPDATE" in statement:
            times.note(statement, connection.info["began"])

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", before)
        event.remove(Engine, "after_cursor_execute", after)


class _InProcess(Connection):
    """Sends to the application in this process."""

    def __init__(self, app: Any) -> None:
        self._client = app.test_client(use_cookies=False)

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        answer = self._client.open(path, method=method, headers=headers, data=body)
        return Answer(answer.status_code, answer.data, answer.headers.get("ETag", ""))


@contextmanager
def in_process(system: System) -> Iterator[Connection]:
    """Yield a connection to an application in this process, on a running system's databases."""
    from control_plane.wsgi import build_app

    document = json.loads((system.data / "config" / "api.json").read_text())
    yield _InProcess(build_app(document, load_keys(system.data / "keys")))
