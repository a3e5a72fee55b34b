"""Ingot's events through a real Knative Broker, whose pods are killed in the middle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from control_plane.adapters.cluster.knative_broker import BrokerSettings, KnativeBroker, token_of
from control_plane.domain.access import Role
from control_plane.domain.deliveries import Consumer
from control_plane.domain.events import type_of
from control_plane.events.receiver import Receiver
from control_plane.events.relay import Relay
from control_plane.services.deliveries import Deliveries
from control_plane.services.events import Events
from control_plane.services.release_images import ReleaseImages
from control_plane.store.control_migrations import migrate_control
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.plan import NODE_ADDRESS, Plan
from operators.cluster import connect
from operators.kinds import TRIGGER
from tests.support.builders import World
from tests.support.fake_images import FakeImages
from tests.support.fakes import FakeBlobs
from tests.support.function_host import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

_KEY, _RUNTIME = b"a key of this test", "python3.11"


class _Bills(FakeBlobs):
    """Says of every bill of materials that it is empty."""

    def get(self, digest: str) -> bytes:
        return b"{}"


class Stage:
    """A control plane with a real Broker between its outbox and its consumers."""

    def __init__(self, folder: Path, cluster: Plan, namespace: str, ingress: str) -> None:
        self.engine = create_engine(f"sqlite:///{folder / 'control.db'}", schema=CONTROL_SCHEMA)
        migrate_control(self.engine)
        self.world = World(self.engine)
        self.images = FakeImages(_RUNTIME)
        # How often each consumer worked, by what it worked on.
        self.worked: dict[str, int] = {}
        prepare = ReleaseImages(self.world.changes, self.images, _Bills()).prepare
        self.deliveries = Deliveries(
            self.world.changes,
            (
                Consumer("images", frozenset({type_of("review.approved")}), prepare),
                Consumer(
                    "functions",
                    frozenset({type_of("function.created"), type_of("function.changed")}),
                    lambda event: self.worked.update({event.id: self.worked.get(event.id, 0) + 1}),
                ),
            ),
        )
        source = f"/ingot/{namespace}"
        tokens = {name: token_of(_KEY, name) for name in self.deliveries.wanted}
        self.receiver = Receiver((NODE_ADDRESS, 0), source, tokens, self.deliveries.take)
        self.url = f"http://{NODE_ADDRESS}:{self.receiver.port}"
        self.cluster = connect(str(cluster.state / "credentials" / "admin.kubeconfig"))
        self.relay = Relay(
            self.deliveries,
            KnativeBroker(
                self.cluster, BrokerSettings(f"http://{ingress}/{namespace}/default", source, self.url, _KEY)
            ),
            time.monotonic,
        )

    def turn(self) -> int:
        """Do what the worker does in its turn; returns how many deliveries are not done."""
        Events(self.world.changes, self.deliveries.wanted).sequence()
        self.relay.turn()
        with self.world.store.read() as unit:
            return len(unit.deliveries.due(1 << 60, 500))

    def settled(self) -> bool:
        """Turn, with a second gone by for whoever waits to be published again."""
        self.world.clock.advance(seconds=1)
        return self.turn() == 0

    def close(self) -> None:
        """End everything but what is in the namespace."""
        self.receiver.close()
        self.cluster.close()
        self.engine.dispose()


@pytest.fixture
def stage(cluster: Plan, kubectl: Kubectl, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    meta = {"name": "default", "namespace": namespace}
    kubectl.apply([{"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": meta}])
    kubectl.wait("condition=Ready", "broker/default", "--namespace", namespace, seconds=90)
    service = kubectl.get("service", "broker-ingress", "--namespace", "knative-eventing")
    made = Stage(tmp_path, cluster, namespace, service["spec"]["clusterIP"])
    made.turn()
    for body in made.cluster.list(TRIGGER, namespace):
        name = f"trigger/{body['metadata']['name']}"
        kubectl.wait("condition=Ready", name, "--namespace", namespace, seconds=90)
    yield made
    made.close()


def test_the_image_of_an_approved_version_is_made_by_an_event_of_the_broker(stage: Stage) -> None:
    owner = stage.world.owner()
    author = stage.world.member(owner, "ada", Role.AUTHOR)
    reviewer = stage.world.member(owner, "rita", Role.REVIEWER)
    version = stage.world.frozen(author)
    stage.world.approved(author, reviewer, version)
    until(stage.settled, 120)
    (stored,) = stage.images.stored(version.organization)
    assert stored.version == version.digest
    assert list(stage.worked.values()) == [1]
    # Whoever has no token is refused where the Broker is let in.
    assert httpx.post(f"{stage.url}/consumers/images/{'0' * 64}", timeout=10).status_code == 403


def test_no_event_is_lost_with_the_brokers_pods(stage: Stage, kubectl: Kubectl) -> None:
    owner = stage.world.owner()
    for number in range(40):
        stage.world.functions.create(owner, project="main", name=f"f{number}")
        stage.turn()
        if number in {10, 25}:
            for part in ("imc-dispatcher", "mt-broker-filter", "mt-broker-ingress"):
                kill_pods(kubectl, part)
    until(stage.settled, 200)
    assert len(stage.worked) == 40
    # An answer that was lost with a pod brings its event again, which finds its work done.
    assert set(stage.worked.values()) == {1}


def kill_pods(kubectl: Kubectl, deployment: str) -> None:
    """End a deployment's pods at once, with all that they hold in memory."""
    where = ("--namespace", "knative-eventing")
    listed = kubectl.get("pods", *where)
    for pod in listed["items"]:
        if pod["metadata"]["name"].startswith(deployment):
            kubectl.delete("pod", pod["metadata"]["name"], *where, "--grace-period=0", "--force")
