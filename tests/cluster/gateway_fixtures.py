"""A function on the real cluster whose pods ask for a token, and a real gateway in front of it."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.adapters.gateway.gateway import HAProxyGateway
from control_plane.domain.attestations import key_id
from control_plane.domain.desired import CallerKey, GatewayState, Route, Share
from control_plane.domain.hop_tokens import HopTokens
from operators.kinds import FUNCTION, NAMESPACE, POD
from tests.gateway.harness import World, a_world, policy
from tests.operators.stage import function_body, version
from tests.support.cluster_images import ClusterImages
from tests.support.cluster_operator import ClusterOperator
from tests.support.function_host import until

__all__ = ["INGRESS", "Closed", "closed", "lead", "public", "state_of", "tokens", "world"]

INGRESS = "198.18.255.1:8081"
CODE = """
import time

def ticks():
    while True:
        yield "tick"
        time.sleep(0.1)

def execute(input, context):
    input = input if isinstance(input, dict) else {}
    if input.get("stream"):
        return ticks()
    time.sleep(input.get("wait", 0))
    return sorted(context.headers)
"""


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
    yield Closed(operator, namespace, images.push(CODE, streaming=True))
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
    world.gateway.apply(state_of(world, closed))


def state_of(
    world: World,
    closed: Closed,
    *,
    keys: tuple[CallerKey, ...] | None = None,
    streaming: bool = False,
    **limits: Any,
) -> GatewayState:
    """Return a state in which acme/orders leads to the function; `limits` are its policy's."""
    target = world.target(
        "s1" if streaming else "v1",
        socket=f"http://orders.{closed.namespace}.svc.cluster.local",
        function=closed.function,
        timeout_ms=30_000,
        maxconn=50,
        streaming=streaming,
    )
    return world.state(
        target,
        routes=(Route("acme/orders", closed.function, (Share(target.id, 100),)),),
        policies=(policy(closed.function, **limits),),
        keys=keys,
    )
