"""What the worker does under every fault: each port call and commit fails once, and the next turns finish it.

A clean run shows which calls there are and what is there afterwards. Then each
call fails once, in each way, on a fresh copy; what is there after the next
turns must be the same, with an intact audit chain and no event told twice.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import func, select

from control_plane.domain.files import FileWish
from control_plane.domain.identity import Actor
from control_plane.domain.release_guards import Figures, Guard
from control_plane.domain.retention import Content
from control_plane.errors import Unavailable
from control_plane.ports import TestCall
from control_plane.services.guarding import Guards
from control_plane.services.preview_expiry import PreviewExpiry
from control_plane.services.release_plans import Planner
from control_plane.services.releases import Wish
from control_plane.services.retention import Retention
from control_plane.store.engine import create_engine
from control_plane.store.journal_tables import outbox
from control_plane.store.tables import CONTROL_SCHEMA, metadata
from tests.support.builders import World
from tests.support.entropy import FakeEntropy
from tests.support.fake_contents import FakeContents
from tests.support.faults import Fault, Faults, Way
from tests.unit.conftest import People
from tests.unit.test_retention import GRACE, RULES

# Calls of one port or transactions that fail, each once; later ones are like these.
_CALLS: Final = 6
# Nobody repeats these: a line that is kept twice is a finding, as it should be.
_ONCE: Final = {"anchor.append"}
# Said once for each different trouble, so a fault may add one.
_TOLD_OF_TROUBLE: Final = "dev.ingot.release.progressed.v1"

# (what is there, events, findings in the audit chains)
Found = tuple[object, Counter[str], list[Any]]
_SYSTEM: Final = Actor.system("")
Ports = Mapping[str, tuple[object, tuple[str, ...]]]


@dataclass(frozen=True)
class Stand:
    """What is tried in one world."""

    turn: Callable[[], object]
    state: Callable[[], object]
    ports: Ports = field(default_factory=dict)


Case = Callable[[World, People], Stand]


def what_should_run(world: World, people: People) -> Stand:
    """A release to be prepared, a key to be cut and a preview to be shown."""
    _approved(world, people, "orders")
    world.released(people.operator, world.versions.get(people.author, "orders", 1))
    key = world.api_keys.create(people.operator, project="main", name="shop").key.id
    world.settle()
    world.api_keys.revoke(people.operator, key)
    preview = world.previews.start(people.author, "orders").preview
    world.releases.apply(people.operator, "orders", [Wish(2, 100)])

    def state() -> object:
        gateway, host = world.gateway.states[-1], world.runtime.states[-1]
        return (
            [one.state for one in world.releases.list(people.operator, "orders")],
            sorted(target.id for target in host.targets),
            sorted((route.path, route.shares) for route in gateway.routes),
            [one.key for one in gateway.keys] == [preview.id],
            set(world.gateway.cuts),
            world.api_keys.get(people.operator, key).to_cut,
        )

    ports: Ports = {
        "runtime": (world.runtime, ("apply", "prepare")),
        "gateway": (world.gateway, ("apply", "cut")),
    }
    return Stand(world.settle, state, ports)


def previews_that_end(world: World, people: People) -> Stand:
    for name in ("orders", "other"):
        world.previews.start(people.author, world.drafted(people.author, name))
    world.settle()
    world.clock.advance(days=2)
    expiry = PreviewExpiry(world.changes)

    def turn() -> None:
        expiry.sweep()
        world.settle()

    def state() -> object:
        return _count(world, "previews"), world.gateway.states[-1].routes, world.runtime.states[-1].targets

    ports: Ports = {"runtime": (world.runtime, ("apply",)), "gateway": (world.gateway, ("apply",))}
    return Stand(turn, state, ports)


def checkpoints(world: World, people: People) -> Stand:
    world.audit.checkpoint(force=True)
    for name in ("one", "two"):
        world.functions.create(people.author, project="main", name=name)
    ports: Ports = {
        "signer": (world.audit._signer, ("sign", "verify")),
        "anchor": (world.anchor, ("append", "lines")),
    }
    return Stand(lambda: world.audit.checkpoint(force=True), lambda: len(world.anchor.kept), ports)


def clean_up(world: World, people: People) -> Stand:
    call = TestCall("POST", "/", (), b"", 1_000)
    for name in ("orders", "other"):
        world.test_runs.run(people.author, world.drafted(people.author, name), call)
    contents = FakeContents()
    retention = Retention(world.changes, contents, RULES)
    needed = world.drafts.get(people.author, "orders").files[0].digest
    for digest in (needed, *("sha256:" + letter * 64 for letter in "abc")):
        contents.put(Content("blob", digest, 10), world.clock.now_ms())
    world.clock.advance(days=40)
    retention.clean_content()
    world.clock.advance(ms=GRACE + 1)

    def turn() -> None:
        with contextlib.suppress(OSError):
            retention.clean_content()
        retention.clean_rows()

    def state() -> object:
        return sorted(contents.held) == [("blob", needed)], _count(world, "test_runs"), _unneeded(world)

    return Stand(turn, state, {"contents": (contents, ("untouched_since", "parts", "remove"))})


def guards(world: World, people: People) -> Stand:
    """Two canaries that fail: the trouble of one must not keep the other from going back."""
    guard = Guard(error_percent=5.0, window_s=300, watch_s=6_000)
    names = ("orders", "other")
    for name in names:
        _approved(world, people, name)
        world.released(people.operator, world.versions.get(people.author, name, 1))
        world.releases.split(people.operator, name, version=2, percent=10, guard=guard)
    world.settle()
    usage = _Usage()
    watching = Guards(world.changes, Planner(world.builder), usage)

    def turn() -> None:
        watching.look()
        world.settle()

    def state() -> object:
        return [
            [(one.state, [(part.number, part.percent) for part in one.parts]) for one in found]
            for found in (world.releases.list(people.operator, name) for name in names)
        ]

    ports: Ports = {"usage": (usage, ("measure",)), "builder": (world.builder, ("base",))}
    return Stand(turn, state, ports)


def files(world: World, people: People) -> Stand:
    for name in ("a.csv", "b.csv", "c.csv"):
        file, link = world.files.announce(people.author, project="main", wish=FileWish(name, 3, days=1))
        world.files.store(file.id, link.query, [b"abc"], request="", address="")
    world.clock.advance(days=2)

    def turn() -> None:
        while world.file_removal.delete_due():
            pass

    def state() -> object:
        return _count(world, "files"), dict(world.file_bytes.contents)

    return Stand(turn, state, {"filebytes": (world.file_bytes, ("delete",))})


class _Usage:
    def __call__(self, function: str, version: str, since_ms: int, until_ms: int) -> Figures:
        return self.measure(function, version, since_ms, until_ms)

    def measure(self, _function: str, _version: str, _since_ms: int, _until_ms: int) -> Figures:
        return Figures(calls=100, failed=30, p95_ms=10)


def _approved(world: World, people: People, name: str) -> None:
    for number in (1, 2):
        version = world.frozen(people.author, name, f"{name} = {number}\n")
        world.approved(people.author, people.reviewer, version)


def _count(world: World, table: str) -> int:
    with world.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(metadata.tables[table])).scalar_one())


def _unneeded(world: World) -> Any:
    with world.changes.read(_SYSTEM) as view:
        return view.unit.retention.unneeded()


def _told(world: World) -> Counter[str]:
    with world.engine.connect() as connection:
        told = Counter(connection.execute(select(outbox.c.type)).scalars())
    del told[_TOLD_OF_TROUBLE]
    return told


@contextlib.contextmanager
def fresh(peopled: tuple[Path, People], folder: Path) -> Iterator[World]:
    shutil.copy(peopled[0], folder / "control.db")
    engine = create_engine(f"sqlite:///{folder}/control.db", schema=CONTROL_SCHEMA)
    try:
        yield World(engine, entropy=FakeEntropy(first=1_000_000))
    finally:
        engine.dispose()


def tried(
    peopled: tuple[Path, People], folder: Path, case: Case, fault: Fault | None
) -> tuple[Found, Counter[str]]:
    """Let the worker turn with the fault, then until it is quiet; return what is there and the calls."""
    with fresh(peopled, folder) as world:
        stand = case(world, peopled[1])
        faults = Faults(world.clock)
        for name, (port, methods) in stand.ports.items():
            faults.watch_port(name, port, methods)
        faults.watch_store(world.store)
        # As the worker does: what fails is tried again in its next turn.
        with faults.failing(fault), contextlib.suppress(OSError, Unavailable):
            stand.turn()
        assert fault is None or faults.struck, f"{fault} was not reached"
        calls = Counter(faults.calls)
        for _ in range(2):
            stand.turn()
        found = (stand.state(), _told(world), [one.findings for one in world.audit.verify_all()])
    return found, calls


CASES: Final = (what_should_run, previews_that_end, checkpoints, clean_up, guards, files)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_next_turns_finish_what_a_broken_commit_left(
    peopled: tuple[Path, People], tmp_path: Path, case: Case
) -> None:
    try_faults(peopled, tmp_path, case, lambda fault: fault.target == "store.commit")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_next_turns_finish_what_a_broken_port_left(
    peopled: tuple[Path, People], tmp_path: Path, case: Case
) -> None:
    try_faults(peopled, tmp_path, case, lambda fault: fault.target != "store.commit")


def try_faults(
    peopled: tuple[Path, People], folder: Path, case: Case, chosen: Callable[[Fault], bool]
) -> None:
    """Compare what is there after each chosen fault that the case can meet with what is there without."""
    wanted, calls = tried(peopled, folder, case, None)
    assert not any(wanted[2])
    faults = [
        Fault(target, number, way)
        for target, count in sorted(calls.items())
        for number in range(1, min(count, _CALLS) + 1)
        for way in Way
        if not (way is Way.TWICE and (target in _ONCE or target.startswith("store.")))
    ]
    for fault in filter(chosen, faults):
        found, _ = tried(peopled, folder, case, fault)
        assert found == wanted, fault
    # Signing changes nothing in the database.
    assert any(map(chosen, faults)) or case is checkpoints


def test_a_release_that_cannot_be_measured_is_not_in_the_way_of_the_others(
    world: World, people: People
) -> None:
    stand = guards(world, people)
    usage = stand.ports["usage"][0]
    broken = world.functions.get(people.author, "orders").id
    assert isinstance(usage, _Usage)

    def measure(_function: str, _version: str, _since_ms: int, _until_ms: int) -> Figures:
        if _function == broken:
            raise OSError("the usage of this one cannot be read")
        return _Usage().measure(_function, _version, _since_ms, _until_ms)

    usage.measure = measure  # type: ignore[method-assign]
    stand.turn()
    went_back = {
        name: world.releases.list(people.operator, name)[0].rollback_of for name in ("orders", "other")
    }
    assert went_back == {"orders": 0, "other": 1}


def test_a_file_that_cannot_be_deleted_is_not_in_the_way_of_the_others(world: World, people: People) -> None:
    stand = files(world, people)
    first = min(world.file_bytes.contents)
    delete = world.file_bytes.delete

    def refuse(file: str) -> None:
        if file == first:
            raise OSError("read-only")
        delete(file)

    world.file_bytes.delete = refuse
    with pytest.raises(OSError, match="read-only"):
        stand.turn()
    assert set(world.file_bytes.contents) == {first}
    world.file_bytes.delete = delete
    stand.turn()
    assert (_count(world, "files"), world.file_bytes.contents) == (0, {})


def test_content_that_cannot_be_removed_is_not_in_the_way_of_the_rest(world: World, people: People) -> None:
    stand = clean_up(world, people)
    contents = stand.ports["contents"][0]
    assert isinstance(contents, FakeContents)
    remove = contents.remove

    def refuse(content: Content, before_ms: int) -> bool:
        if content.digest.endswith("a"):
            raise OSError("read-only")
        return remove(content, before_ms)

    contents.remove = refuse  # type: ignore[method-assign]
    stand.turn()
    assert {digest[-1] for _, digest in contents.held} >= {"a"}
    assert not {digest[-3:] for _, digest in contents.held} & {"bbb", "ccc"}
