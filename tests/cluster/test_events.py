"""Knative Eventing and the cluster's names, as functions and the platform use them."""

from __future__ import annotations

import json
import queue
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.plan import FIRST_SERVICE, NODE_ADDRESS, Plan
from tests.cluster.function_fixtures import images, operator
from tests.operators.stage import function_body, version
from tests.support.cluster_images import ClusterImages
from tests.support.cluster_operator import ClusterOperator
from tests.support.function_host import until

__all__ = ["images", "operator"]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


class _Receiver(BaseHTTPRequestHandler):
    """Takes events as a consumer of the platform does: an empty answer."""

    received: queue.Queue[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.received.put((self.headers.get("ce-id", ""), body))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[tuple[str, bytes]]]]:
    """Yield a consumer's address on the node, and what it received."""
    handler = type("Receiver", (_Receiver,), {"received": queue.Queue()})
    with ThreadingHTTPServer((NODE_ADDRESS, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{NODE_ADDRESS}:{server.server_port}/", handler.received  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join(timeout=10)


def test_a_broker_gives_a_trigger_every_event_of_its_type_and_no_other(
    cluster: Plan, kubectl: Kubectl, namespace: str
) -> None:
    with receiver() as (address, received):
        where = {"namespace": namespace}
        broker = {
            "apiVersion": "eventing.knative.dev/v1",
            "kind": "Broker",
            "metadata": {"name": "default", **where},
        }
        trigger = {
            "apiVersion": "eventing.knative.dev/v1",
            "kind": "Trigger",
            "metadata": {"name": "wanted", **where},
            "spec": {
                "broker": "default",
                "filter": {"attributes": {"type": "dev.ingot.test.wanted.v1"}},
                "subscriber": {"uri": address},
            },
        }
        kubectl.apply([broker, trigger])
        kubectl.wait("condition=Ready", "broker/default", "--namespace", namespace, seconds=90)
        kubectl.wait("condition=Ready", "trigger/wanted", "--namespace", namespace, seconds=90)
        service = kubectl.get("service", "broker-ingress", "--namespace", "knative-eventing")
        with httpx.Client(timeout=30) as client:
            for number in range(20):
                for kind in ("wanted", "other"):
                    answer = client.post(
                        f"http://{service['spec']['clusterIP']}/{namespace}/default",
                        content=json.dumps({"number": number}),
                        headers={
                            "Content-Type": "application/json",
                            "ce-id": f"{kind}-{number}",
                            "ce-source": "/test",
                            "ce-specversion": "1.0",
                            "ce-type": f"dev.ingot.test.{kind}.v1",
                        },
                    )
                    assert answer.status_code == 202, answer.text
        found = [received.get(timeout=30) for _ in range(20)]
        assert sorted(found) == sorted(
            (f"wanted-{number}", json.dumps({"number": number}).encode()) for number in range(20)
        )
        # What is not wanted was posted before the last wanted one, and has not come.
        assert received.empty()


SILENT = """
def execute(input, context):
    print("heard=" + context.headers["ce-id"] + ";", flush=True)
    if "reply" in context.headers["ce-id"]:
        return {"not": "an event"}
"""


def test_a_function_with_nothing_to_say_gets_each_event_once(
    operator: ClusterOperator, images: ClusterImages, kubectl: Kubectl, namespace: str
) -> None:
    made = images.push(SILENT)
    body = function_body(
        version(1, image=made.image, digest=made.digest, minInstances=1),
        triggers=[{"name": "all", "broker": "default", "attributes": {}, "retries": 3}],
    )
    body["metadata"] = {"name": "orders", "namespace": namespace}
    body["spec"]["function"] = f"fn_{namespace.replace('-', '')}"[:40]
    broker = {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Broker",
        "metadata": {"name": "default", "namespace": namespace},
    }
    kubectl.apply([broker])
    operator.write(body)
    until(
        lambda: operator.condition(namespace, "orders")[0] == "True",
        90,
        f"it is {operator.condition(namespace, 'orders')}",
    )
    service = kubectl.get("service", "broker-ingress", "--namespace", "knative-eventing")
    address = f"http://{service['spec']['clusterIP']}/{namespace}/default"
    said = [*(f"silent-{number}" for number in range(10)), "reply", "last"]
    with httpx.Client(timeout=60) as client:
        for name in said:
            headers = {"ce-id": name, "ce-source": "/t", "ce-specversion": "1.0", "ce-type": "t"}
            answer = client.post(address, json={}, headers=headers)
            # The channel answers when its subscribers have: what they refused is an error here.
            assert (answer.status_code == 202) == (name != "reply"), (name, answer.text)

    def heard() -> Counter[str]:
        return Counter(re.findall(r"heard=([a-z0-9-]+);", operator.logs(namespace)))

    until(lambda: heard()["last"] > 0, 30, "the last event did not come")
    found = heard()
    # What is no event was not taken for an answer, so it came again; an empty answer was.
    assert found.pop("reply") > 1
    assert found == dict.fromkeys((name for name in said if name != "reply"), 1)


@pytest.mark.parametrize(
    ("name", "code", "address"),
    [
        ("kubernetes.default.svc.cluster.local", 0, FIRST_SERVICE),
        ("nothing.default.svc.cluster.local", 3, ""),
        # Nobody outside is asked.
        ("example.com", 3, ""),
    ],
)
def test_names_are_the_clusters_alone(cluster: Plan, name: str, code: int, address: str) -> None:
    assert resolve(name) == (code, address)


def resolve(name: str) -> tuple[int, str]:
    """Ask the cluster's name server for an address; returns the answer's code and the address."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(
            struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!2H", 1, 1), (NODE_ADDRESS, 53)
        )
        answer = client.recv(4_096)
    _, flags, _, count, _, _ = struct.unpack("!6H", answer[:12])
    return flags & 15, socket.inet_ntoa(answer[-4:]) if count == 1 else ""
