"""The API under a named mix at 300 requests/s over 200,000 versions and 1,000,000 usage events.

80 % lists and reads, 15 % draft writes, 5 % freeze, submit, approve and release,
spread over 50 organizations, once on SQLite and once on PostgreSQL. Before it
the same requests run in this process, with every statement timed to its last
row. The full databases are made once and kept for a day.
"""

from __future__ import annotations

import json
import os
import queue
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.bench.api_routes import DAILY, LISTS, ROLES
from tests.bench.api_seed import Scale, Tenant
from tests.bench.open_loop import Answer, Connection, Results, Work, run_open_loop
from tests.bench.processes import cpu_seconds, descendants
from tests.bench.report import Check, Report, Result, percentile
from tests.bench.seeded import POSTGRESQL, SQLITE, Seeded, seeded_system
from tests.bench.statements import StatementTimes, in_process, timed_statements

__all__ = ["Mix", "run"]

# How much of what is read are the pages that people look at all day; the rest is looked at now and then.
_DAILY_SHARE: Final = 0.8
_SHOWN_STATEMENTS: Final = 12
_WRITERS: Final = 200
_LANES: Final = 20


def run(report: Report, *, quick: bool = False) -> None:
    """Measure both databases."""
    scale = Scale(5, 10, 20, 20_000) if quick else Scale()
    load = (60.0, 8.0) if quick else (300.0, 60.0)
    for side in (SQLITE, POSTGRESQL):
        with seeded_system(side, scale) as seeded:
            _measure(report, side, seeded, scale, load)


def _measure(report: Report, side: str, seeded: Seeded, scale: Scale, load: tuple[float, float]) -> None:
    mix = Mix(seeded.tenants, scale)
    mix.warm(seeded.system.console_port)
    times = _statements(seeded, mix)
    api = descendants(int(seeded.system.roles()["api"]["pid"]))
    before, used = os.getloadavg()[0], cpu_seconds(api)
    results = run_open_loop(seeded.system.console_port, mix.plan, rate=load[0], seconds=load[1])
    used = cpu_seconds(api) - used
    report.results.append(
        Result.of(
            f"{side}: all", results.all, results.errors,
            versions=scale.organizations * scale.functions * scale.versions, events=scale.events,
            rate=load[0], api_cpu_ms=round(used * 1000 / max(len(results.all), 1), 2),
            seeded_s=seeded.seeded_s, copied_s=seeded.copied_s,
            load=f"{before:.1f}-{os.getloadavg()[0]:.1f}",
        )
    )  # fmt: skip
    for name in sorted(results.latencies):
        report.results.append(
            Result.of(f"{side}: {name}", results.latencies[name], len(results.faults[name]))
        )
    for worst in times.slowest(_SHOWN_STATEMENTS):
        report.results.append(
            Result.of(
                f"{side}: statement of {worst.route}", worst.times_ms,
                p90=round(percentile(worst.times_ms, 0.9), 2), statement=worst.statement[:200],
            )
        )  # fmt: skip
    report.checks += [
        Check.at_most(f"{side}: p95 of the mix, ms", percentile(results.all, 0.95), 50),
        Check.at_most(f"{side}: errors{_examples(results)}", results.errors, 0),
        Check.at_most(f"{side}: slowest statement p90, ms", times.worst_p90_ms(), 20),
        Check.is_true(f"{side}: every route of the timed statements answered", not times.refused),
    ]


def _examples(results: Results) -> str:
    found = [f"{name}: {some[0]}" for name, some in results.faults.items() if some]
    return f" ({'; '.join(found)[:600]})" if found else ""


@dataclass
class _Lane:
    """A function that goes from draft to release over and over, one step at each turn."""

    tenant: Tenant
    function: str
    etag: str = ""
    step: int = 0
    version: dict[str, Any] = field(default_factory=dict)
    review: str = ""


class Mix:
    """Plans requests: what, by whom, on which function."""

    def __init__(self, tenants: list[Tenant], scale: Scale) -> None:
        self.tenants = tenants
        self._scale = scale
        self._chance = random.Random(1)
        self._count = 0
        self._writers: queue.SimpleQueue[_Lane] = queue.SimpleQueue()
        self._lanes: queue.SimpleQueue[_Lane] = queue.SimpleQueue()

    def warm(self, port: int) -> None:
        """Read the drafts that will be written, as an editor does when it opens."""
        connection = Connection(port)
        there = sum(len(tenant.functions) for tenant in self.tenants)
        lanes = min(_LANES, there // 4)
        for number in range(min(_WRITERS + _LANES, there)):
            tenant = self.tenants[number % len(self.tenants)]
            functions = tenant.functions
            # From the end: lanes and writers never share a function.
            lane = _Lane(tenant, functions[-1 - number // len(self.tenants) % len(functions)])
            lane.etag = connection.send("GET", _path(lane, "/draft"), _as(tenant, "author")).etag
            (self._lanes if number < lanes else self._writers).put(lane)

    def plan(self, number: int) -> Work:
        """Return the next request."""
        dice = self._chance.random()
        if dice < 0.80:
            some = DAILY if self._chance.random() < _DAILY_SHARE else LISTS
            return self.read(*self._chance.choice(some))
        return self._write if dice < 0.95 else self._change

    def read(self, name: str, path: str) -> Work:
        """Return a read by somebody of some organization."""
        tenant = self._chance.choice(self.tenants)
        now = datetime.now(UTC)
        filled = path.format(
            project=tenant.project,
            function=self._chance.choice(tenant.functions),
            number=self._chance.randint(1, self._scale.versions),
            week_ago=f"{now - timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}",
        )
        headers = _as(tenant, ROLES.get(name, "author"))
        return lambda connection: (name, connection.send("GET", f"/api/v1{filled}", headers))

    def _write(self, connection: Connection) -> tuple[str, Answer]:
        lane = self._writers.get()
        answer = self._put(connection, lane)
        self._writers.put(lane)
        return "PUT draft file", answer

    def _put(self, connection: Connection, lane: _Lane) -> Answer:
        self._count += 1
        headers = _as(lane.tenant, "author") | {
            "If-Match": lane.etag,
            "Content-Type": "application/octet-stream",
        }
        content = f"def execute(input, context):\n    return {self._count}\n".encode()
        answer = connection.send("PUT", _path(lane, "/draft/files/main.py"), headers, content)
        lane.etag = answer.etag or lane.etag
        return answer

    def _change(self, connection: Connection) -> tuple[str, Answer]:
        lane = self._lanes.get()
        name, answer = self._step(connection, lane)
        good = 200 <= answer.status < 300
        lane.step = (lane.step + 1) % 5 if good else 0
        self._lanes.put(lane)
        return name, answer

    def _step(self, connection: Connection, lane: _Lane) -> tuple[str, Answer]:
        if lane.step == 0:
            return "PUT draft file", self._put(connection, lane)
        if lane.step == 1:
            headers = _as(lane.tenant, "author") | {"If-Match": lane.etag}
            answer = connection.send("POST", _path(lane, "/versions"), headers)
            lane.version = json.loads(answer.body or b"{}")
            return "POST freeze", answer
        body: dict[str, Any] = {"version": lane.version.get("number")}
        if lane.step == 2:
            answer = _post(connection, lane, "author", _path(lane, "/reviews"), body)
            lane.review = str(json.loads(answer.body or b"{}").get("id"))
            return "POST review", answer
        if lane.step == 3:
            digest = {"digest": lane.version.get("digest")}
            path = f"/api/v1/reviews/{lane.review}/approve"
            return "POST approve", _post(connection, lane, "reviewer", path, digest)
        return "POST release", _post(connection, lane, "owner", _path(lane, "/releases"), body)


def _post(connection: Connection, lane: _Lane, role: str, path: str, body: dict[str, Any]) -> Answer:
    headers = _as(lane.tenant, role) | {"Content-Type": "application/json"}
    return connection.send("POST", path, headers, json.dumps(body).encode())


def _as(tenant: Tenant, role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {tenant.tokens[role]}"}


def _path(lane: _Lane, rest: str) -> str:
    return f"/api/v1/functions/{lane.function}{rest}"


def _statements(seeded: Seeded, mix: Mix) -> StatementTimes:
    """Return how long every statement takes that the mix makes, in this process."""
    times = StatementTimes()
    with in_process(seeded.system) as connection, timed_statements(times):
        for name, path in (*DAILY, *LISTS):
            times.route = name
            for _ in range(30):
                _, answer = mix.read(name, path)(connection)
                if answer.status != 200:
                    times.refused.append(f"{name}: {answer.status} {answer.body[:200]!r}")
        times.route = "writes"
        for _ in range(50):
            mix._write(connection)
            mix._change(connection)
    return times
