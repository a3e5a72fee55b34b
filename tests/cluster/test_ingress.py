"""The gateway as the cluster's ingress: Knative's conformance suite, and calls over restarts and releases."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from builders.registry.access import Access
from builders.registry.client import Registry
from builders.registry.conversation import Conversation
from knative.bootstrap.configs import REGISTRY_USER
from knative.bootstrap.images import program_reference, push_program
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.plan import FUNCTIONS_DOMAIN, NODE_ADDRESS, REGISTRY, Plan
from knative.bootstrap.processes import main_process
from knative.bootstrap.serving import INGRESS_CLASS
from tests.cluster.conformance.suite import IMAGES, Suite, build, cases_of
from tests.cluster.conftest import bring_up
from tests.ingress.harness import Load, until

pytestmark = pytest.mark.cluster

# The suite's own namespace, and a tag for images that it can only name by one.
NAMESPACE = "serving-tests"
TAG = "conformance"
CASES = 25


@pytest.fixture(scope="module", autouse=True)
def current(cluster: Plan) -> None:
    """Have the parts run this checkout's code: another's would be restarted in a test's midst."""
    bring_up(cluster)


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


NAME = "hello"


def _knative_service(namespace: str, image: str, number: int, live: int) -> dict[str, Any]:
    """Return a Service whose revision `number` is made, with all traffic at revision `live`."""
    template = {
        "metadata": {
            "name": f"{NAME}-v{number}",
            "annotations": {"autoscaling.knative.dev/min-scale": "1"},
        },
        # So long its pods may take to end, too.
        "spec": {"timeoutSeconds": 10, "containers": [{"image": image, "ports": [{"containerPort": 8080}]}]},
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "template": template,
            "traffic": [{"revisionName": f"{NAME}-v{live}", "percent": 100}],
        },
    }


def _ready(kubectl: Kubectl, namespace: str, live: int) -> bool:
    """Say whether the newest Service is ready with its traffic at a revision."""
    found = kubectl.get("services.serving.knative.dev", NAME, "-n", namespace)
    status = found.get("status", {})
    ready = {each["type"]: each["status"] for each in status.get("conditions", [])}.get("Ready")
    traffic = [each.get("revisionName") for each in status.get("traffic", [])]
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and ready == "True"
        and traffic == [f"{NAME}-v{live}"]
    )


@pytest.mark.timeout(300)
def test_no_call_fails_over_releases_and_a_killed_controller(
    cluster: Plan, kubectl: Kubectl, suite: Suite, namespace: str
) -> None:
    image = program_reference("conformance/runtime", suite.program("runtime"))

    def release(number: int, live: int) -> None:
        kubectl.apply([_knative_service(namespace, image, number, live)])
        until(lambda: _ready(kubectl, namespace, live), 90)

    release(1, 1)
    with Load((NODE_ADDRESS, 8080), host=f"{NAME}-{namespace}.{FUNCTIONS_DOMAIN}") as load:
        load.progress()
        release(2, 2)
        load.progress()
        controller = main_process(cluster, "ingress")
        assert controller is not None
        os.kill(controller, signal.SIGKILL)
        load.progress()
        kubectl.apply([_knative_service(namespace, image, 3, 1)])
        load.progress()
        # It starts with a reload, and finds what happened meanwhile.
        bring_up(cluster)
        until(lambda: _ready(kubectl, namespace, 1), 90)
        load.progress()
    assert not load.failures()
