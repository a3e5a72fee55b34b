"""Pods of the real cluster take calls only through the gateway: a real HAProxy, real pods, real tokens."""

from __future__ import annotations

import base64
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.adapters.gateway.gateway import HAProxyGateway
from control_plane.domain.attestations import key_id
from control_plane.domain.hop_tokens import LIFE_S, HopTokens
from operators.kinds import FUNCTION, NAMESPACE, POD, Kind
from tests.cluster.function_fixtures import images, operator, routed
from tests.gateway.harness import SECRET, World, a_world, policy
from tests.operators.stage import function_body, version
from tests.support.cluster_images import ClusterImages
from tests.support.cluster_operator import ClusterOperator, call
from tests.support.function_host import until

__all__ = ["images", "operator", "routed"]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300), pytest.mark.usefixtures("routed")]

SERVICE = Kind("v1", "Service", "services")
INGRESS = "198.18.255.1:8081"
CODE = "def execute(input, context):\n    return sorted(context.headers)\n"


def public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def tokens(key: Ed25519PrivateKey, now: Callable[[], float] = time.time) -> HopTokens:
    def sign(message: bytes) -> str:
        return base64.urlsafe_b64encode(key.sign(message)).decode().rstrip("=")

    return HopTokens(key_id(key.public_key().public_bytes_raw()), sign, lambda: int(now()))


class Closed:
    """A function whose pods ask for a token."""

    def __init__(self, operator: ClusterOperator, namespace: str, image: Any) -> None:
        self.operator = operator
        self.namespace = namespace
        self.function = f"fn_{namespace.replace('-', '')}"
        self.key = Ed25519PrivateKey.generate()
        self._own = public(Ed25519PrivateKey.generate())
        self.trust(self.key)
        body = function_body(version(1, image=image.image, digest=image.digest, minInstances=1))
        body["metadata"] = {"name": "orders", "namespace": namespace}
        body["spec"]["function"] = self.function
        operator.write(body)
        self.wait_ready()

    def trust(self, *keys: Ed25519PrivateKey) -> None:
        """Say whose tokens count."""
        entry = {"key": self._own, "namespaces": [self.namespace], "hop": [public(key) for key in keys]}
        self.operator.trust(f"hop-{self.namespace}", entry)

    def wait_ready(self) -> None:
        until(
            lambda: self.operator.condition(self.namespace, "orders")[0] == "True",
            90,
            f"it is {self.operator.condition(self.namespace, 'orders')}\n{self.operator.text()[-3000:]}",
        )

    def asks_for(self) -> set[str]:
        """Return the ids of the keys that all of its revision's running pods know."""
        pods = [
            pod
            for pod in self.operator.cluster.list(POD, self.namespace)
            if not pod["metadata"].get("deletionTimestamp")
        ]
        texts = {
            one["value"]
            for pod in pods
            for one in pod["spec"]["containers"][0]["env"]
            if one["name"] == "INGOT_HOP_KEYS"
        }
        return {part.partition(":")[0] for part in texts.pop().split()} if len(texts) == 1 else set()


@pytest.fixture
def closed(operator: ClusterOperator, images: ClusterImages) -> Iterator[Closed]:
    namespace = f"test-{uuid.uuid4().hex[:10]}"
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    operator.cluster.apply(place, "kubectl")
    yield Closed(operator, namespace, images.push(CODE))
    operator.cluster.delete(FUNCTION, namespace, "orders")
    operator.cluster.delete(NAMESPACE, "", namespace)


@pytest.fixture
def world(tmp_path: Path, closed: Closed) -> Iterator[World]:
    """Yield a gateway with keys and limits in front of the function, as an installation has it."""
    with a_world(tmp_path, ingress=INGRESS) as made:
        lead(made, closed, closed.key)
        made.start()
        yield made


def lead(world: World, closed: Closed, key: Ed25519PrivateKey) -> None:
    """Lead the gateway's calls to the function, with tokens of this key."""
    world.gateway = HAProxyGateway(world.settings, world.clock, tokens(key))
    target = world.target(
        "v1",
        socket=f"http://orders.{closed.namespace}.svc.cluster.local",
        function=closed.function,
        timeout_ms=30_000,
        maxconn=50,
    )
    state = world.state(target, policies=(policy(closed.function),))
    routes = tuple(
        type(one)(path=one.path, function=closed.function, shares=one.shares) for one in state.routes
    )
    world.gateway.apply(world.state(target, routes=routes, policies=state.policies))


def asked(address: str, **headers: str) -> tuple[int, str]:
    answer = httpx.post(address, json={}, headers=headers, timeout=30)
    problem = answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"] if problem else ""


def test_nobody_reaches_a_pod_but_through_the_gateway(closed: Closed, world: World) -> None:
    reply = world.call()
    assert reply.status == 200, reply.body
    assert b"x-ingot-usage-id" in reply.body
    assert b"x-ingot-hop" not in reply.body
    assert world.call(key=None).status == 401
    # By its name inside the cluster, through Knative's ingress.
    refused = call(closed.namespace, "orders")
    assert (refused.status_code, refused.json()["code"]) == (401, "hop_missing")
    assert refused.headers["content-type"] == "application/problem+json"
    # The pod itself: queue-proxy's port, and the function's own.
    pods = closed.operator.cluster.list(POD, closed.namespace)
    address = next(pod["status"]["podIP"] for pod in pods if not pod["metadata"].get("deletionTimestamp"))
    for port in (8012, 8080):
        assert asked(f"http://{address}:{port}/") == (401, "hop_missing")
    # The Services that Knative keeps for itself.
    services = [
        one["spec"]["clusterIP"]
        for one in closed.operator.cluster.list(SERVICE, closed.namespace)
        if "networking.internal.knative.dev/serviceType" in one["metadata"].get("labels", {})
        and one["spec"].get("clusterIP") not in (None, "None")
    ]
    assert len(services) == 2
    for service in services:
        assert asked(f"http://{service}/") == (401, "hop_missing")
    direct = f"http://{address}:8012/"
    good = tokens(closed.key).of([closed.function])[closed.function]
    assert asked(direct, **{"X-Ingot-Hop": good}) == (200, "")
    other = tokens(closed.key).of(["fn_other"])["fn_other"]
    assert asked(direct, **{"X-Ingot-Hop": other}) == (403, "hop_foreign")
    foreign = tokens(Ed25519PrivateKey.generate()).of([closed.function])[closed.function]
    assert asked(direct, **{"X-Ingot-Hop": foreign}) == (401, "hop_invalid")
    old = tokens(closed.key, lambda: time.time() - LIFE_S - 60).of([closed.function])[closed.function]
    assert asked(direct, **{"X-Ingot-Hop": old}) == (401, "hop_invalid")


class Load:
    """Callers who never stop and never repeat a call."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: Counter[str] = Counter()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(3)]

    def _run(self) -> None:
        url = f"http://127.0.0.1:{self.world.port}/acme/orders"
        with httpx.Client(headers={"X-Api-Key": SECRET}, timeout=60) as client:
            while not self._ended.wait(0.02):
                try:
                    answer = client.post(url, json={})
                    said = "" if answer.status_code == 200 else answer.text[:300]
                    self.answers[f"{answer.status_code} {said}"] += 1
                except httpx.HTTPError as error:
                    self.answers[repr(error)] += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(70)


def test_a_key_is_replaced_while_calls_go_on_and_none_fails(closed: Closed, world: World) -> None:
    following = Ed25519PrivateKey.generate()
    both = {key_id(key.public_key().public_bytes_raw()) for key in (closed.key, following)}
    with Load(world) as load:
        until(lambda: load.answers.total() > 50, 30)
        closed.trust(closed.key, following)
        until(lambda: closed.asks_for() == both, 120, "no pod knows both keys")
        closed.wait_ready()
        lead(world, closed, following)
        until(lambda: world.call().status == 200, 10)
        closed.trust(following)
        until(lambda: closed.asks_for() == both - {key_id(closed.key.public_key().public_bytes_raw())}, 120)
        closed.wait_ready()
        before = load.answers.total()
        until(lambda: load.answers.total() > before + 50, 30)
    assert set(load.answers) == {"200 "}, load.answers
    # The former key counts no more.
    old = tokens(closed.key).of([closed.function])[closed.function]
    answer = httpx.post(
        f"http://{INGRESS}",
        json={},
        headers={"Host": f"orders.{closed.namespace}.svc.cluster.local", "X-Ingot-Hop": old},
        timeout=30,
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "hop_invalid")
