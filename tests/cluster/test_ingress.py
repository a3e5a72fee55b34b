"""Knative's own conformance suite against the gateway: every case, stable, beta and alpha, none left out."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from builders.registry.access import Access
from builders.registry.client import Registry
from builders.registry.conversation import Conversation
from knative.bootstrap.configs import REGISTRY_USER
from knative.bootstrap.images import push_program
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.plan import NODE_ADDRESS, REGISTRY, Plan
from knative.bootstrap.serving import INGRESS_CLASS
from tests.cluster.conformance.suite import IMAGES, Suite, build, cases_of

pytestmark = pytest.mark.cluster

# The suite's own namespace, and a tag for images that it can only name by one.
NAMESPACE = "serving-tests"
TAG = "conformance"
CASES = 25


@pytest.fixture
def suite(cluster: Plan) -> Suite:
    """The built suite, its images in the cluster's registry."""
    built = build(cluster.cache)
    passwords = json.loads((cluster.credentials / "passwords.json").read_text())
    access = Access(REGISTRY, plain_http=True, username=REGISTRY_USER, password=passwords["registry"])
    with Conversation(access) as conversation:
        registry = Registry(conversation)
        for name in IMAGES:
            reference = push_program(registry, f"conformance/{name}", built.program(name))
            repository = registry.repository(f"conformance/{name}")
            stored = registry.manifest(repository, reference.rpartition("@")[2])
            assert stored is not None
            registry.put_manifest(repository, TAG, stored)
    return built


@pytest.fixture
def suites_namespace(kubectl: Kubectl) -> Iterator[None]:
    """The namespace that the suite works in, gone afterwards."""
    kubectl.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    yield
    kubectl.delete("namespace", NAMESPACE)


@pytest.mark.timeout(1_200)
def test_every_case_of_knatives_conformance_suite_passes(
    cluster: Plan, suite: Suite, suites_namespace: None
) -> None:
    code, output = suite.run(
        [
            "-test.parallel=2",
            f"--ingressClass={INGRESS_CLASS}",
            f"--dockerrepo={REGISTRY}/conformance",
            f"--tag={TAG}",
            f"--ingressendpoint={NODE_ADDRESS}",
            "--enable-beta",
            "--enable-alpha",
        ],
        cluster.kubeconfig,
        900,
    )
    cases = cases_of(output)
    for case in cases:
        print(f"{case.outcome} {case.name} {case.seconds:.1f} s")
    failed = [case.name for case in cases if case.outcome != "PASS"]
    assert not failed, output[-20_000:]
    assert (code, len(cases)) == (0, CASES), output[-5_000:]
