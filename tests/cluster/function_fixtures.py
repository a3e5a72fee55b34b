"""What tests of Functions on the real cluster need: images, the operator as a process, an ingress."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from knative.bootstrap.plan import Plan
from tests.support.cluster_images import ClusterImages
from tests.support.cluster_operator import ClusterOperator

__all__ = ["images", "operator", "routed"]


@pytest.fixture(scope="module")
def images(cluster: Plan) -> Iterator[ClusterImages]:
    # Beside the cluster, so that the next run finds the base image made.
    made = ClusterImages(cluster.state / "test-images", cluster.state / "credentials" / "passwords.json")
    yield made
    made.close()


@pytest.fixture(scope="module")
def operator(cluster: Plan) -> Iterator[ClusterOperator]:
    made = ClusterOperator(cluster.state)
    made.prepare()
    made.start()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def routed() -> None:
    """Skip where nothing routes calls: Knative then never calls a Service ready."""
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(("198.18.255.1", 8081)) != 0:
            pytest.skip("no ingress runs on 198.18.255.1:8081")
