"""What every Broker does: the worker's own, and a Knative Broker with Triggers and the receiver behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Engine

from control_plane.adapters.cluster.knative_broker import BrokerSettings, KnativeBroker, token_of
from control_plane.adapters.embedded.direct_broker import DirectBroker
from control_plane.domain.deliveries import Consumer
from control_plane.domain.events import Event, type_of
from control_plane.domain.identity import Actor
from control_plane.errors import Unavailable
from control_plane.events.receiver import Receiver
from control_plane.events.relay import Relay
from control_plane.ports import Broker
from control_plane.services.deliveries import Deliveries
from control_plane.services.events import Events
from control_plane.store.control_migrations import migrate_control
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from tests.support.builders import World
from tests.support.fake_api_server import FakeApiServer
from tests.support.fake_broker import FakeBroker

_SOURCE, _KEY = "/ingot/ingot-system", b"a key of the release service"
_FUNCTIONS = frozenset({type_of("function.created"), type_of("function.changed")})
_DRAFTS = frozenset({type_of("draft.changed")})


class Killed(BaseException):
    """Stands for kill -9: nothing that catches faults sees it."""


@dataclass
class Stage:
    """A control plane with two consumers behind one broker."""

    world: World
    make: Callable[[Deliveries], Broker]
    # What each consumer worked on.
    seen: list[tuple[str, str]] = field(default_factory=list)
    # What it meets after its work.
    fault: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self.owner: Actor = self.world.owner()
        self.restart()

    def restart(self) -> None:
        """As after a kill: nothing is remembered but the database."""
        consumers = (
            Consumer("functions", _FUNCTIONS, lambda event: self._work("functions", event)),
            Consumer("drafts", _DRAFTS, lambda event: self._work("drafts", event)),
        )
        self.deliveries = Deliveries(self.world.changes, consumers)
        self.broker = self.make(self.deliveries)
        self.relay = Relay(self.deliveries, self.broker, lambda: self.world.clock.now_ms() / 1000)

    def _work(self, consumer: str, event: Event) -> None:
        self.seen.append((consumer, event.subject))
        self.fault(consumer)

    def create(self, name: str) -> str:
        """Make a function; return its id."""
        return self.world.functions.create(self.owner, project="main", name=name).id

    def turn(self) -> None:
        """Do what the worker does when it is woken."""
        Events(self.world.changes, self.deliveries.wanted).sequence()
        self.relay.turn()

    def later(self) -> None:
        """Let every pause end, then turn."""
        self.world.clock.advance(seconds=300)
        self.turn()

    def waiting(self) -> int:
        """Return how many deliveries are not done."""
        with self.world.store.read() as unit:
            return len(unit.deliveries.due(1 << 60, 100))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path / 'control.db'}", schema=CONTROL_SCHEMA)
    migrate_control(made)
    yield made
    made.dispose()


@pytest.fixture
def api() -> Iterator[FakeApiServer]:
    with FakeApiServer() as server:
        yield server


@pytest.fixture
def knative(api: FakeApiServer) -> Iterator[FakeBroker]:
    with FakeBroker(api) as broker:
        yield broker


@pytest.fixture(params=["direct", "knative"])
def stage(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        if request.param == "direct":
            yield Stage(World(engine), lambda deliveries: DirectBroker(deliveries.take))
        else:
            api, knative = request.getfixturevalue("api"), request.getfixturevalue("knative")
            yield Stage(World(engine), lambda deliveries: knative_broker(stack, api, knative, deliveries))


def knative_broker(
    stack: contextlib.ExitStack, api: FakeApiServer, knative: FakeBroker, deliveries: Deliveries
) -> KnativeBroker:
    tokens = {name: token_of(_KEY, name) for name in deliveries.wanted}
    receiver = Receiver(("127.0.0.1", 0), _SOURCE, tokens, deliveries.take)
    stack.callback(receiver.close)
    url = f"http://127.0.0.1:{receiver.port}"
    return KnativeBroker(api.client(), BrokerSettings(knative.address, _SOURCE, url, _KEY))


def test_each_consumer_gets_the_events_of_its_types_once(stage: Stage) -> None:
    first, second = stage.create("first"), stage.create("second")
    stage.turn()
    assert stage.seen == [("functions", first), ("functions", second)]
    stage.world.drafted(stage.owner, "first")
    stage.turn()
    assert stage.seen[2:] == [("drafts", first)]
    assert stage.waiting() == 0
    stage.later()
    assert len(stage.seen) == 3


def test_what_a_consumer_cannot_do_comes_again_and_holds_up_nobody_else(stage: Stage) -> None:
    def fail(consumer: str) -> None:
        if consumer == "functions":
            raise RuntimeError("the registry does not answer")

    first = stage.create("first")
    stage.world.drafted(stage.owner, "first")
    stage.fault = fail
    stage.turn()
    assert set(stage.seen) == {("functions", first), ("drafts", first)}
    assert stage.waiting() == 1
    stage.seen.clear()
    stage.turn()
    assert stage.seen == [], "it waits for its pause"
    stage.fault = lambda _: None
    stage.later()
    assert stage.seen == [("functions", first)]
    assert stage.waiting() == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("moment", ["claimed", "taken", "worked"])
def test_a_kill_at_any_moment_loses_no_event(
    stage: Stage, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stage.create("first")
    stage.turn()
    second = stage.create("second")
    stage.seen.clear()

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if moment == "claimed":
            patched.setattr(stage.broker, "publish", die)
        elif moment == "taken":
            # The broker has it, and its copy goes with the process.
            patched.setattr(stage.deliveries, "take", die)
            patched.setattr(stage.broker, "publish", lambda _: None)
        else:
            stage.fault = die
        with contextlib.suppress(Killed):
            stage.turn()
    assert stage.waiting() == 1
    stage.fault = lambda _: None
    stage.restart()
    stage.later()
    # What was done before is not done again.
    assert ("functions", first) not in stage.seen
    assert stage.seen[-1] == ("functions", second)
    assert stage.waiting() == 0
    stage.later()
    assert stage.seen.count(("functions", second)) == (2 if moment == "worked" else 1)


def test_a_consumer_that_is_no_more_gets_nothing(stage: Stage) -> None:
    stage.turn()
    stage.broker.subscribe({"drafts": _DRAFTS})
    stage.create("first")
    Events(stage.world.changes, stage.deliveries.wanted).sequence()
    for event in stage.deliveries.claim():
        stage.broker.publish(event)
    assert stage.seen == []


def test_an_event_that_is_kept_no_more_is_forgotten(stage: Stage) -> None:
    stage.create("first")
    Events(stage.world.changes, stage.deliveries.wanted).sequence()
    with stage.world.changes.aside() as unit:
        unit.retention.remove("events", stage.world.clock.now_ms() + 1_000, 100)
    stage.later()
    assert (stage.seen, stage.waiting()) == ([], 0)


def test_an_event_that_the_broker_lost_comes_again(engine: Engine, api: FakeApiServer) -> None:
    with contextlib.ExitStack() as stack, FakeBroker(api) as knative:
        stage = Stage(World(engine), lambda deliveries: knative_broker(stack, api, knative, deliveries))
        knative.lose = 1
        first = stage.create("first")
        stage.turn()
        assert (stage.seen, stage.waiting()) == ([], 1)
        stage.later()
        assert (stage.seen, stage.waiting()) == ([("functions", first)], 0)


def test_an_event_that_comes_twice_is_worked_on_once(engine: Engine, api: FakeApiServer) -> None:
    with contextlib.ExitStack() as stack, FakeBroker(api) as knative:
        stage = Stage(World(engine), lambda deliveries: knative_broker(stack, api, knative, deliveries))
        knative.copies = 3
        first = stage.create("first")
        stage.turn()
        assert stage.seen == [("functions", first)]
        assert knative.answers == [202, 202, 202]


def test_a_broker_that_is_away_is_waited_for(engine: Engine, api: FakeApiServer) -> None:
    with contextlib.ExitStack() as stack, FakeBroker(api) as knative:
        stage = Stage(World(engine), lambda deliveries: knative_broker(stack, api, knative, deliveries))
        stage.turn()
        stage.create("first")
    with pytest.raises(Unavailable):
        stage.broker.publish(Event("evt_1", "org_1", "t", "s", 0, {}))
    stage.turn()
    assert (stage.seen, stage.waiting()) == ([], 1)


def test_somebody_elses_trigger_is_left_alone_and_a_changed_one_put_right(
    engine: Engine, api: FakeApiServer
) -> None:
    with contextlib.ExitStack() as stack, FakeBroker(api) as knative:
        stage = Stage(World(engine), lambda deliveries: knative_broker(stack, api, knative, deliveries))
        stage.turn()
        ours = api.get("triggers", "ingot-default-functions", "ingot-system")
        assert ours is not None
        theirs = ours | {"metadata": {"name": "theirs", "namespace": "ingot-system", "labels": {}}}
        other = ours | {"metadata": ours["metadata"] | {"name": "ingot-default-gone"}}
        changed = ours | {"spec": ours["spec"] | {"subscriber": {"uri": "http://192.0.2.1/"}}}
        for body in (theirs, other, changed):
            api.put("triggers", body)
        stage.later()
        assert api.get("triggers", "theirs", "ingot-system") is not None
        assert api.get("triggers", "ingot-default-gone", "ingot-system") is None
        after = api.get("triggers", "ingot-default-functions", "ingot-system")
        assert after is not None
        assert after["spec"]["subscriber"] == ours["spec"]["subscriber"]
