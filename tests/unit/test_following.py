"""One more gateway follows what the reconciler made live, and decides nothing."""

from __future__ import annotations

import threading

import pytest

from control_plane.bootstrap.follower import Follower
from control_plane.errors import Unavailable
from control_plane.events.follower import follow
from control_plane.services.following import GatewayFollower
from control_plane.services.releases import Wish
from tests.support.builders import World
from tests.support.fake_gateway import FakeGateway
from tests.unit.conftest import People


def _host(target: str, function_name: str, project: str) -> str:
    return f"http://{target}-{function_name}.{project.replace('_', '-')}.svc.cluster.local"


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def follower(world: World, people: People, gateway: FakeGateway) -> GatewayFollower:
    """Return a follower of a world in which version 1 of `orders` is live."""
    version = world.frozen(people.author, text="x = 1\n")
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    return GatewayFollower(world.changes, gateway, isolation="namespaces", host_of=_host)


def test_it_has_the_first_gateways_targets_at_the_clusters_hosts(
    world: World, gateway: FakeGateway, follower: GatewayFollower
) -> None:
    assert follower.step()
    first = world.gateway.states[-1]
    state = gateway.state
    assert state is not None
    assert [one.id for one in state.targets] == [one.id for one in first.targets]
    assert (state.routes, state.policies, state.keys) == (first.routes, first.policies, first.keys)
    (target,) = state.targets
    assert target.socket == f"http://{target.id}-orders.{target.project.replace('_', '-')}.svc.cluster.local"


def test_a_look_without_a_change_applies_nothing(gateway: FakeGateway, follower: GatewayFollower) -> None:
    assert follower.step()
    assert not follower.step()
    assert len(gateway.applied) == 1


def test_a_release_counts_when_the_reconciler_has_made_it_live(
    world: World, people: People, gateway: FakeGateway, follower: GatewayFollower
) -> None:
    follower.step()
    before = gateway.state
    version = world.frozen(people.author, text="x = 2\n")
    world.approved(people.author, people.reviewer, version)
    world.releases.apply(people.operator, "orders", [Wish(2, 100)])
    follower.step()
    assert gateway.state is not None
    assert before is not None
    assert gateway.state.targets == before.targets
    world.settle()
    assert follower.step()
    assert gateway.state.targets != before.targets


def test_a_key_that_lost_something_loses_what_it_has_open(
    world: World, people: People, gateway: FakeGateway, follower: GatewayFollower
) -> None:
    kept, doomed = (world.api_keys.create(people.operator, project="main", name=name).key for name in "kd")
    world.settle()
    follower.step()
    gateway.sessions = [(kept.id, "t"), (doomed.id, "t")]
    world.api_keys.revoke(people.operator, doomed.id)
    follower.step()
    assert gateway.sessions == [(kept.id, "t")]
    assert gateway.state is not None
    assert [one.key for one in gateway.state.keys] == [kept.id]


def test_what_could_not_be_applied_is_applied_by_the_next_look(
    gateway: FakeGateway, follower: GatewayFollower
) -> None:
    gateway.failure = Unavailable("the gateway did not take it")
    with pytest.raises(Unavailable):
        follower.step()
    gateway.failure = None
    assert follower.step()


def test_a_process_is_ready_with_its_first_good_look_and_goes_on_after_bad_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop, looks, told = threading.Event(), [], []

    def step() -> bool:
        looks.append(1)
        if len(looks) == 4:
            stop.set()
        if len(looks) != 2:
            raise OSError("the database is away")
        return True

    # Nobody waits between the looks.
    stop.wait = lambda timeout=None: stop.is_set()  # type: ignore[method-assign]
    follow(Follower(step, lambda: 0), stop, lambda: told.append(len(looks)))
    assert told == [2]
    lines = capsys.readouterr().err.splitlines()
    assert [("behind" in line, "up to date" in line) for line in lines] == [
        (True, False),
        (False, True),
        (True, False),
    ]
