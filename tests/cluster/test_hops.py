"""Pods of the real cluster take calls only through the gateway: a real HAProxy, real pods, real tokens."""

from __future__ import annotations

import threading
import time
from collections import Counter

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.domain.attestations import key_id
from control_plane.domain.hop_tokens import LIFE_S
from operators.kinds import POD, Kind
from tests.cluster.function_fixtures import images, operator, routed
from tests.cluster.gateway_fixtures import INGRESS, Closed, closed, lead, tokens, world
from tests.gateway.harness import SECRET, World
from tests.support.cluster_operator import call
from tests.support.function_host import until

__all__ = ["closed", "images", "operator", "routed", "world"]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300), pytest.mark.usefixtures("routed")]

SERVICE = Kind("v1", "Service", "services")


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
        # One of them may lead to the activator for a while, which knows a function by its name alone.
        assert asked(f"http://{service}/") in {(401, "hop_missing"), (404, "")}
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


# Former instances stay for a minute each time, as Knative ships it.
@pytest.mark.timeout(600)
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
