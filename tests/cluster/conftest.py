"""The running cluster as a fixture. Tests make what they need in namespaces of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.leftovers import remains
from knative.bootstrap.plan import Plan
from knative.bootstrap.status import status
from tests.support.running_cluster import here


@pytest.fixture(scope="session")
def cluster() -> Plan:
    """Return the running cluster's plan."""
    if os.geteuid() != 0:
        pytest.skip("the cluster is root's")
    plan = here()
    if not remains(plan, data_kept=True):
        pytest.skip("no cluster runs here (make cluster-up)")
    lines = status(plan)
    # A cluster that is there but broken is a failure, not a reason to skip.
    assert all(line.fine for line in lines), [line for line in lines if not line.fine]
    return plan


@pytest.fixture(scope="session")
def kubectl(cluster: Plan) -> Kubectl:
    """Return the administrator's kubectl."""
    return Kubectl(cluster)


@pytest.fixture
def namespace(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield a namespace that is gone afterwards."""
    name = f"test-{os.getpid()}-{request.node.name.replace('_', '-')[:30].strip('-')}".lower()
    kubectl.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
    yield name
    kubectl.delete("namespace", name)


def bring_up(plan: Plan) -> None:
    """Run `up` as a person does."""
    command = [sys.executable, "-m", "knative.bootstrap", "up", "--profile", plan.profile.value]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
