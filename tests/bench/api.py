"""The API under a named mix at 300 requests/s over 200,000 versions and 1,000,000 usage events.

80 % lists and reads, 15 % draft writes, 5 % freeze, submit, approve and release,
spread over 50 organizations, once on SQLite and once on PostgreSQL. Afterwards
the same requests run in this process with every statement timed.
"""

from __future__ import annotations

import json
import os
import queue
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import Engine, event

from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from control_plane.store.usage_tables import USAGE_SCHEMA
from control_plane.supervisor.keys import load_keys
from tests.bench.api_seed import Scale, Tenant, copy_organizations, copy_usage
from tests.bench.open_loop import Answer, Connection, Results, Work, run_open_loop
from tests.bench.report import Check, Report, Result, percentile
from tests.support.postgres import running_postgres
from tests.support.system import System, running_system, wait_for

__all__ = ["run"]

_HELLO: Final = {
    "main.py": "def execute(input, context):\n    return {'hello': 'you'}\n",
    "ingot.toml": 'handler = "main:execute"\n',
}
_READS: Final = (
    ("GET functions", "/functions?limit=50"),
    ("GET functions of a project", "/functions?project={project}&limit=20"),
    ("GET function", "/functions/{function}"),
    ("GET draft", "/functions/{function}/draft"),
    ("GET versions", "/functions/{function}/versions?limit=50"),
    ("GET version", "/functions/{function}/versions/{number}"),
    ("GET reviews", "/reviews?limit=20"),
    ("GET releases", "/functions/{function}/releases"),
    ("GET projects", "/projects"),
    ("GET members", "/members"),
    ("GET usage", "/usage?days=7&project={project}"),
    ("GET invocations", "/invocations?function={function}&limit=50"),
    ("GET events", "/events?limit=50"),
    ("GET audit", "/audit?limit=50"),
    ("GET me", "/me"),
)
_ROLES: Final = {"GET audit": "owner", "GET members": "owner"}
_WRITERS: Final = 200
_LANES: Final = 20


def run(report: Report, *, quick: bool = False) -> None:
    """Measure both databases."""
    scale = Scale(5, 10, 20, 20_000) if quick else Scale()
    rate, seconds = (60.0, 8.0) if quick else (300.0, 60.0)
    with running_system() as system:
        _measure(report, "SQLite", system, scale, (rate, seconds))
    with running_postgres() as url:
        # The services may run under user ids of their own.
        Path(parse_qs(urlsplit(url).query)["host"][0]).chmod(0o711)
        with running_system(INGOT_DATABASE_CONTROL_URL=url, INGOT_DATABASE_USAGE_URL=url) as system:
            _measure(report, "PostgreSQL", system, scale, (rate, seconds))


def _measure(report: Report, side: str, system: System, scale: Scale, load: tuple[float, float]) -> None:
    system.publish("hello", _HELLO)
    key = system.key("bench")
    system.wait_callable("hello", key)
    wait_for(lambda: system.people["owner"].call("GET", "/invocations?function=hello")["items"], 30, 0.2)
    began = time.perf_counter()
    with _databases(system) as (control, usage):
        tenants = copy_organizations(control, scale)
        copy_usage(usage, tenants, scale)
    seeded = time.perf_counter() - began
    mix = Mix(tenants, scale)
    mix.warm(system.console_port)
    before = os.getloadavg()[0]
    results = run_open_loop(system.console_port, mix.plan, rate=load[0], seconds=load[1])
    report.results.append(
        Result.of(
            f"{side}: all", results.all, results.errors,
            versions=scale.organizations * scale.functions * scale.versions, events=scale.events,
            rate=load[0], seeded_s=round(seeded, 1), load=f"{before:.1f}-{os.getloadavg()[0]:.1f}",
        )
    )  # fmt: skip
    for name in sorted(results.latencies):
        report.results.append(
            Result.of(f"{side}: {name}", results.latencies[name], len(results.faults[name]))
        )
    slow = _statements(system, mix)
    worst = max(slow, key=lambda text: slow[text])
    report.results.append(Result.of(f"{side}: slowest statement", [slow[worst]], statement=worst[:300]))
    report.checks += [
        Check.at_most(f"{side}: p95 of the mix, ms", percentile(results.all, 0.95), 50),
        Check.at_most(f"{side}: errors{_examples(results)}", results.errors, 0),
        Check.at_most(f"{side}: slowest statement p90, ms", slow[worst], 20),
    ]


def _examples(results: Results) -> str:
    found = [f"{name}: {some[0]}" for name, some in results.faults.items() if some]
    return f" ({'; '.join(found)[:600]})" if found else ""


@contextmanager
def _databases(system: System) -> Iterator[tuple[Engine, Engine]]:
    given = system.environment
    control = given.get("INGOT_DATABASE_CONTROL_URL", f"sqlite:///{system.data}/db/control.db")
    usage = given.get("INGOT_DATABASE_USAGE_URL", f"sqlite:///{system.data}/db/usage.db")
    engines = create_engine(control, schema=CONTROL_SCHEMA), create_engine(usage, schema=USAGE_SCHEMA)
    try:
        yield engines
    finally:
        for engine in engines:
            engine.dispose()


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
            return self.read(*self._chance.choice(_READS))
        return self._write if dice < 0.95 else self._change

    def read(self, name: str, path: str) -> Work:
        """Return a read by somebody of some organization."""
        tenant = self._chance.choice(self.tenants)
        filled = path.format(
            project=tenant.project,
            function=self._chance.choice(tenant.functions),
            number=self._chance.randint(1, self._scale.versions),
        )
        headers = _as(tenant, _ROLES.get(name, "author"))
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


class _InProcess(Connection):
    """Sends to the application in this process."""

    def __init__(self, app: Any) -> None:
        self._client = app.test_client(use_cookies=False)

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        answer = self._client.open(path, method=method, headers=headers, data=body)
        return Answer(answer.status_code, answer.data, answer.headers.get("ETag", ""))


def _statements(system: System, mix: Mix) -> dict[str, float]:
    """Return the p90 in milliseconds of every statement that the mix makes."""
    from control_plane.wsgi import build_app

    document = json.loads((system.data / "config" / "api.json").read_text())
    times: dict[str, list[float]] = defaultdict(list)

    def before(connection: Any, *_: Any) -> None:
        connection.info["began"] = time.perf_counter()

    def after(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        times[" ".join(statement.split())].append((time.perf_counter() - connection.info["began"]) * 1000)

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    try:
        connection = _InProcess(build_app(document, load_keys(system.data / "keys")))
        for name, path in _READS:
            for _ in range(30):
                mix.read(name, path)(connection)
        for _ in range(50):
            mix._write(connection)
            mix._change(connection)
    finally:
        event.remove(Engine, "before_cursor_execute", before)
        event.remove(Engine, "after_cursor_execute", after)
    return {text: percentile(some, 0.9) for text, some in times.items() if len(some) >= 10}
