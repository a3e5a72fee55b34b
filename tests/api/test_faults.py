"""Every change under every fault: done whole or not at all, and a repeat gets what the first would have got.

A clean run of a case shows which ports it calls and what the database holds
afterwards. Then each of those calls fails once, in each way, on a fresh copy.
Clock and randomness are the test's, so the same request makes the same rows,
and two states are compared row by row.
"""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, select

from control_plane import ports
from control_plane.api.access import rule_of
from control_plane.api.idempotency import takes_key
from control_plane.domain.access import Role
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA, metadata
from control_plane.store.usage_tables import USAGE_SCHEMA
from tests.api.fault_cases import BYTES, CANCELLED, CASES, INTERIM, LATER, OTHERWISE, Interim, Sent
from tests.api.fault_stage import Prepared, prepare
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople
from tests.support.builders import World
from tests.support.entropy import FakeEntropy
from tests.support.faults import PORT_CALLS, Fault, FaultyWorld, Way

# What is tried apart from a port's first calls costs more than it shows.
_CALLS: Final = 2
_FIRST: Final = 5_000_000
# Ports of other processes: the worker's and the CLI's.
_ELSEWHERE: Final = {
    "BreachedPasswords": "asked when a password is chosen; tests/unit/test_accounts.py",
    "Anchor": "the worker's; tests/unit/test_audit.py",
    "Broker": "the worker's; tests/contract/test_broker.py",
    "Contents": "the worker's, which cleans up",
    "Gateway": "the worker's; tests/unit/test_reconciler.py",
    "Images": "the worker's, and only where a registry is set; tests/contract/test_images.py",
    "Telemetry": "the meter's; tests/contract/test_telemetry.py",
    "Signer": "the worker's; tests/unit/test_audit.py",
}
# When and from where a token was last used is noted apart from what it did.
_NOTES: Final = {("credentials", "used_ms"), ("credentials", "address")}
State = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Stage:
    """A prepared database to copy from, and what is in it."""

    folder: Path
    prepared: Prepared
    contents: dict[str, bytes]
    bytes: dict[str, bytes]
    now_ms: int


@pytest.fixture(scope="session")
def stage(migrated_databases: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    folder = tmp_path_factory.mktemp("prepared")
    for name in ("control.db", "usage.db"):
        shutil.copy(migrated_databases / name, folder / name)
    control, usage = _engines(folder)
    api = ApiWorld(World(control), usage)
    owner = api.world.owner()
    people = ApiPeople(
        owner=owner,
        author=api.world.member(owner, "ada", Role.AUTHOR),
        reviewer=api.world.member(owner, "rita", Role.REVIEWER),
        operator=api.world.member(owner, "omar", Role.OPERATOR),
    )
    prepared = prepare(api, people)
    control.dispose()
    usage.dispose()
    world = api.world
    return Stage(
        folder, prepared, dict(world.blobs.contents), dict(world.file_bytes.contents), world.clock.ms
    )


@dataclass
class Attempts:
    """One copy of the stage, and requests to it."""

    faulty: FaultyWorld
    engine: Engine
    sent: Sent
    token: str
    method: str
    # Takes an Idempotency-Key.
    keyed: bool
    interim: Interim
    later: Callable[[World], object] | None
    # Calls of each port that the last request made.
    calls: dict[str, int] = field(default_factory=dict)

    def send(self, fault: Fault | None) -> tuple[int, Any]:
        """Send the case's request; return status and body without what differs by nature."""
        world = self.faulty.api.world
        # The same numbers for each attempt, so that a repeat would make the same rows.
        world.entropy._numbers = FakeEntropy(_FIRST)._numbers
        headers = {"X-Request-Id": "fault", **self.sent.headers}
        if self.token:
            headers |= {"Authorization": f"Bearer {self.token}"}
        if self.keyed:
            headers |= {"Idempotency-Key": "the-same"}
        more: dict[str, Any] = {"data": self.sent.content}
        if self.sent.content is None:
            more = {"json": self.sent.body} if self.sent.body is not None else {}
        client = self.faulty.api.app.test_client(use_cookies=False)
        with self.faulty.failing(fault):
            answer = client.open(f"/api/v1{self.sent.path}", method=self.method, headers=headers, **more)
            # What the worker does later is broken elsewhere.
            self.calls = dict(self.faulty.calls)
        if self.later:
            self.later(world)
        body = answer.get_json(silent=True)
        if isinstance(body, dict) and "loaded" in body:
            # Taken by the machine's clock.
            body["loaded"].pop("waited_ms")
        return answer.status_code, body

    def state(self) -> State:
        """Return every row of every table but the keys of repeated requests, and what lies beside them."""
        world = self.faulty.api.world
        found: State = {
            BYTES: sorted(world.file_bytes.contents.items()),
            CANCELLED: [(run,) for run in sorted(set(world.runtime.cancelled))],
        }
        with self.engine.execution_options(ingot_read_only=True).connect() as connection:
            for table in metadata.sorted_tables:
                if table.name != "idempotency_keys":
                    columns = [one for one in table.c if (table.name, one.name) not in _NOTES]
                    rows = connection.execute(select(*columns)).all()
                    found[table.name] = sorted(tuple(map(repr, row)) for row in rows)
        return found


def _engines(folder: Path) -> tuple[Engine, Engine]:
    return (
        create_engine(f"sqlite:///{folder}/control.db", schema=CONTROL_SCHEMA),
        create_engine(f"sqlite:///{folder}/usage.db", schema=USAGE_SCHEMA),
    )


@contextmanager
def attempts(stage: Stage, folder: Path, case: str) -> Iterator[Attempts]:
    for name in ("control.db", "usage.db"):
        shutil.copy(stage.folder / name, folder / name)
    control, usage = _engines(folder)
    world = World(control)
    world.clock.ms = stage.now_ms
    world.blobs.contents.update(stage.contents)
    world.file_bytes.contents.update(stage.bytes)
    sent = CASES[case](stage.prepared)
    token = stage.prepared.tokens[sent.who] if sent.who else ""
    api = ApiWorld(world, usage)
    method, _, path = case.partition(" ")
    interim = INTERIM.get(case, Interim("", frozenset()))
    keyed, later = is_keyed(api, method, path), LATER.get(case)
    try:
        yield Attempts(FaultyWorld(api), control, sent, token, method, keyed, interim, later)
    finally:
        control.dispose()
        usage.dispose()


def is_keyed(api: ApiWorld, method: str, path: str) -> bool:
    """Say whether a route takes an Idempotency-Key."""
    return any(
        url.rule == f"/api/v1{path}" and method in (url.methods or ()) and takes_key(api.app, url.endpoint)
        for url in api.app.url_map.iter_rules()
    )


def routes(api: ApiWorld) -> set[str]:
    """Return every route that may change something."""
    return {
        f"{method} {url.rule.removeprefix('/api/v1')}"
        for url in api.app.url_map.iter_rules()
        if rule_of(api.app, url.endpoint) is not None
        for method in (url.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }


def test_every_changing_route_is_tried(api: ApiWorld) -> None:
    assert routes(api) == set(CASES) | set(OTHERWISE)
    assert not set(CASES) & set(OTHERWISE)
    assert set(INTERIM) | set(LATER) <= set(CASES)


def test_every_method_of_every_port_is_tried() -> None:
    protocols = {
        name: {
            method for method, what in vars(found).items() if inspect.isfunction(what) and method[0] != "_"
        }
        for name in ports.__all__
        if inspect.isclass(found := getattr(ports, name)) and getattr(found, "_is_protocol", False)
    }
    tried = {name.lower(): set(methods) for name, methods in PORT_CALLS.items()}
    for name, wanted in protocols.items():
        methods = set(wanted)
        if name in _ELSEWHERE:
            continue
        known = tried.get(name.lower(), tried.get(name.removeprefix("Function").lower(), set()))
        if name == "Runtime":
            # The worker calls the others; tests/unit/test_reconciler.py.
            methods -= {"apply", "socket_path"}
        assert known == methods, name


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_broken_commit_is_whole_or_nothing_and_the_same_on_repeat(
    stage: Stage, tmp_path: Path, case: str
) -> None:
    assert try_faults(stage, tmp_path, case, lambda fault: fault.target == "store.commit") >= 3


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(CASES))
def test_a_broken_port_is_whole_or_nothing_and_the_same_on_repeat(
    stage: Stage, tmp_path: Path, case: str
) -> None:
    assert try_faults(stage, tmp_path, case, lambda fault: fault.target != "store.commit") > 3


def try_faults(stage: Stage, folder: Path, case: str, chosen: Callable[[Fault], bool]) -> int:
    """Try a case under each chosen fault that it can meet; return how many there were."""
    with attempts(stage, folder, case) as clean:
        before = clean.state()
        status, body = clean.send(None)
        assert status < 300, (status, body)
        after = clean.state()
        calls = clean.calls
    faults = [
        Fault(target, number, way)
        for target, count in sorted(calls.items())
        for number in range(1, min(count, _CALLS) + 1)
        for way in ways(target)
    ]
    wanted = [fault for fault in faults if chosen(fault)]
    for fault in wanted:
        with attempts(stage, folder, case) as tried:
            check(tried, fault, (before, after), (status, body))
    return len(wanted)


def ways(target: str) -> tuple[Way, ...]:
    """Return the ways in which something can go wrong that differ from each other."""
    if target == "store.commit":
        # A transaction is opened by its caller; nobody opens it twice for them.
        return (Way.BEFORE, Way.AFTER, Way.SLOW)
    if target == "store.read" or target.startswith(("clock.", "entropy.")):
        # Nothing is left behind by these, so broken before and after are one.
        return (Way.BEFORE, Way.TWICE) if target != "store.read" else (Way.BEFORE,)
    return tuple(Way)


def check(tried: Attempts, fault: Fault, states: tuple[State, State], answer: tuple[int, Any]) -> None:
    """Send the case once with the fault and once without; compare answers and rows."""
    before, after = states
    first = tried.send(fault)
    assert tried.faulty.struck, f"{fault} was not reached"
    if fault.way in {Way.SLOW, Way.TWICE}:
        # Time and numbers went on in between, so only what they do not touch is the same.
        assert first[0] == answer[0], (fault, first)
        assert {name: len(rows) for name, rows in tried.state().items()} == {
            name: len(rows) for name, rows in after.items()
        }, fault
        return
    between = tried.state()
    if first[0] < 300:
        assert (first, between) == (answer, after), fault
    else:
        assert first[0] in {500, 503}, (fault, first)
        assert "broke" not in json.dumps(first[1]), "the inside of a fault is nobody's business"
        left = {name for name in before if between[name] != before[name]} - tried.interim.tables
        assert not left or not set(difference(after, between)) - tried.interim.tables, (
            fault,
            difference(after, between),
        )
    again = tried.send(None)
    if tried.keyed or between != after:
        assert again == answer, (fault, again)
    else:
        # Without a key a repeat may be told that its state is no longer there.
        assert again[0] in {answer[0], 404, 409, 412}, (fault, again)
    wrong = difference(after, tried.state())
    stays = tried.interim.tables if tried.interim.stays else frozenset()
    assert not set(wrong) - stays, (fault, wrong)


def difference(wanted: State, found: State) -> dict[str, Any]:
    """Return the rows that are in one state only."""
    return {
        name: (
            [row for row in wanted[name] if row not in found[name]],
            [row for row in found[name] if row not in wanted[name]],
        )
        for name in wanted
        if wanted[name] != found[name]
    }
