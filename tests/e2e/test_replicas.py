"""Several gateways before one Ingot: limits, keys, and every call counted, whichever gateway took it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import socketserver
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import select

from control_plane.store.engine import create_engine
from control_plane.store.usage_tables import USAGE_SCHEMA, usage_events
from tests.gateway.harness import read_request
from tests.support.postgres import running_postgres
from tests.support.system import System, running_system, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

_FILES = {"ingot.toml": "", "main.py": "def execute(input, context):\n    return {}\n"}
_CALLERS = 6


class Ingress(socketserver.ThreadingTCPServer):
    """Stands in for a cluster: takes every call, and remembers its usage id and token."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.dispatched: set[str] = set()
        self.hosts: Counter[str] = Counter()
        self.tokens: set[str] = set()
        # Seconds that an answer takes.
        self.pause = 0.0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.BaseRequestHandler):
    server: Ingress

    def handle(self) -> None:
        self.request.settimeout(60)
        with contextlib.suppress(OSError):
            while (request := read_request(self.request)) is not None:
                self.server.dispatched.add(request.header("x-ingot-usage-id") or "")
                self.server.hosts[request.header("host") or ""] += 1
                self.server.tokens.add(request.header("x-ingot-hop") or "")
                time.sleep(self.server.pause)
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


class Callers:
    """Callers behind a balancer: a new connection for each call, to any gateway of the list, no repeats."""

    def __init__(self, gateways: list[str], key: str) -> None:
        self.gateways = gateways
        self.answered: set[str] = set()
        self.failures: list[str] = []
        self._key = key
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(_CALLERS)]

    def _run(self) -> None:
        while not self._ended.is_set():
            gateway = random.choice(self.gateways)
            try:
                url, headers = f"{gateway}/acme/hello", {"X-Api-Key": self._key}
                answer = httpx.post(url, json={}, headers=headers, timeout=30)
            except httpx.HTTPError as error:
                self.failures.append(f"{gateway} {error!r}")
                continue
            if answer.status_code == 200:
                self.answered.add(answer.headers["x-ingot-usage-id"])
            else:
                self.failures.append(f"{gateway} {answer.status_code} {answer.text}")

    def wait_for(self, more: int) -> None:
        """Wait for so many more answers."""
        before = len(self.answered)
        wait_for(lambda: len(self.answered) >= before + more, 60, 0.02)

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(40)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    try:
        with running_postgres() as url:
            # The services may run under user ids of their own.
            Path(parse_qs(urlsplit(url).query)["host"][0]).chmod(0o711)
            yield url
    except FileNotFoundError as reason:
        pytest.skip(f"PostgreSQL cannot be started here: {reason}")


@pytest.fixture(scope="module")
def ingress() -> Iterator[Ingress]:
    with Ingress() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def main(database: str) -> Iterator[System]:
    with running_system(**_shared(database)) as made:
        made.publish("hello", _FILES)
        yield made


@pytest.fixture(scope="module")
def pair(main: System, database: str, ingress: Ingress) -> Iterator[tuple[System, System]]:
    """Yield two more gateways of the same Ingot."""
    with contextlib.ExitStack() as stack:
        made = []
        for name in ("a", "b"):
            folder = Path(tempfile.mkdtemp(prefix="ingot-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            folder.chmod(0o755)
            one = System(
                folder,
                **_shared(database),
                INGOT_GATEWAY_REPLICA=f"gateway-{name}",
                INGOT_GATEWAY_INGRESS=ingress.address,
            )
            (one.data / "keys").mkdir(parents=True, mode=0o700)
            shutil.copy(main.data / "keys" / "hop.key", one.data / "keys" / "hop.key")
            one.start()
            stack.callback(one.stop)
            made.append(one)
        yield made[0], made[1]


def _shared(database: str) -> dict[str, Any]:
    return {
        "INGOT_DATABASE_CONTROL_URL": database,
        "INGOT_DATABASE_USAGE_URL": database,
        "INGOT_GATEWAY_REPLICAS": "3",
    }


def _call(gateway: System, key: str) -> httpx.Response:
    return httpx.post(gateway.url("hello"), json={}, headers={"X-Api-Key": key}, timeout=30)


def _counted(database: str) -> set[str]:
    engine = create_engine(database, schema=USAGE_SCHEMA)
    try:
        with engine.begin() as connection:
            query = select(usage_events.c.id).where(usage_events.c.target != "", usage_events.c.refusal == "")
            return set(connection.scalars(query))
    finally:
        engine.dispose()


def test_one_more_gateway_runs_what_it_needs_and_knows_what_is_live(
    main: System, pair: tuple[System, System], ingress: Ingress
) -> None:
    assert set(pair[0].roles()) == {"meter", "follower", "gateway"}
    key = main.key("first")
    for one in pair:
        one.wait_callable("hello", key)
        assert _call(one, key).status_code == 200
    host = next(iter(ingress.hosts))
    assert host.endswith(".svc.cluster.local")
    assert "-hello.prj-" in host
    assert {token.split(".")[0] for token in ingress.tokens} == {"v1"}
    # What becomes live later, they hear of by themselves.
    main.publish("later", _FILES)
    for one in pair:
        one.wait_callable("later", key, 5)
        assert httpx.post(one.url("later"), json={}, headers={"X-Api-Key": key}).status_code == 200


def test_a_revoked_key_is_dead_at_every_gateway(main: System, pair: tuple[System, System]) -> None:
    made = main.people["owner"].call("POST", "/projects/main/api-keys", json={"name": "doomed"})
    for one in pair:
        one.wait_callable("hello", made["text"])
    main.people["owner"].call("DELETE", f"/api-keys/{made['key']['id']}")
    deadline = time.monotonic() + 2
    for one in pair:
        while (status := _call(one, made["text"]).status_code) != 401:
            assert time.monotonic() < deadline, status


def test_each_gateway_grants_its_part_of_a_limit(main: System, pair: tuple[System, System]) -> None:
    key = main.key("limited", rate_10s=30)
    for one in pair:
        one.wait_callable("hello", key)
    for one in pair:
        answers = Counter(_call(one, key).status_code for _ in range(14))
        assert answers[200] <= 10
        assert answers[429] >= 4
        assert answers.total() == answers[200] + answers[429]


def test_a_gateway_that_is_killed_loses_what_it_held_and_one_that_stops_nothing(
    main: System, pair: tuple[System, System], ingress: Ingress, database: str
) -> None:
    killed, stopped = pair
    key = main.key("load")
    for one in pair:
        one.wait_callable("hello", key)
    with Callers([killed.functions, stopped.functions], key) as callers:
        callers.wait_for(200)
        _kill_all(killed)
        callers.gateways = [stopped.functions]
        callers.wait_for(200)
        # Of each caller at most the one call that it had there, or was just about to make.
        assert len(callers.failures) <= 2 * _CALLERS, callers.failures
        assert all(killed.functions in one for one in callers.failures), callers.failures
        killed.start()
        lost, callers.failures = callers.failures, []
        callers.gateways = [killed.functions, stopped.functions]
        callers.wait_for(100)
        # As a balancer does first: nobody is sent there any more, and who is there is answered.
        callers.gateways = [killed.functions]
        callers.wait_for(10 * _CALLERS)
        slow = _SlowCalls(stopped, key, ingress)
        stopped.stop()
        assert slow.answers() == [200] * _CALLERS
        callers.wait_for(100)
        assert callers.failures == []
    stopped.start()
    wait_for(lambda: callers.answered <= _counted(database), 30, 0.2)
    counted = _counted(database)
    # Nobody called the first Ingot's own gateway, whose functions run on this machine.
    assert counted <= ingress.dispatched
    print(f"{len(callers.answered)} answered, {len(counted)} counted, {len(lost)} lost by the kill")


class _SlowCalls:
    """Calls that are under way at a gateway, each taking a second."""

    def __init__(self, gateway: System, key: str, ingress: Ingress) -> None:
        self._statuses: list[int] = []
        before = len(ingress.dispatched)
        ingress.pause = 1.0
        self._threads = [
            threading.Thread(target=lambda: self._statuses.append(_call(gateway, key).status_code))
            for _ in range(_CALLERS)
        ]
        for thread in self._threads:
            thread.start()
        # The other gateway's callers are slowed down too, so most of these are its own.
        wait_for(lambda: len(ingress.dispatched) >= before + 2 * _CALLERS, 20)
        ingress.pause = 0.0

    def answers(self) -> list[int]:
        """Return what they were answered."""
        for thread in self._threads:
            thread.join(30)
        return self._statuses


def _kill_all(one: System) -> None:
    """Kill a whole replica at once, as a machine that ends does."""
    pids = [int(role["pid"]) for role in one.roles().values()]
    assert one.process is not None
    workers = [pid for parent in pids for pid in _children(parent)]
    for pid in [one.process.pid, *pids, *workers]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    one.process.wait(20)
    one.process = None
    port = one.functions_port

    def free() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    wait_for(free, 20)


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found
