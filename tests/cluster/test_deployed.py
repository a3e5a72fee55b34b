"""Ingot itself on the real cluster: installed by kustomize and by Helm, each with a function that answers.

It takes the cluster's own operator's place for a while, so nothing else may use Functions meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from knative.bootstrap.commands import run
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.plan import Plan
from knative.deploy.chart import chart_files
from knative.deploy.dev import CONSOLE, DevIngot
from knative.deploy.overlay import NAMESPACE
from tests.support.deployed import Walk, helm

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

KNATIVE = Path(__file__).resolve().parents[2] / "knative"
_OWN = "app.kubernetes.io/name=ingot"
_KINDS = (
    "pods,statefulsets,deployments,jobs,services,configmaps,secrets,pdb,networkpolicies,pvc,serviceaccounts"
)


@pytest.fixture
def ingot(cluster: Plan, kubectl: Kubectl) -> Iterator[DevIngot]:
    """Yield what installs Ingot; projects' namespaces and all else are gone afterwards."""
    before = set(_projects(kubectl))
    made = DevIngot(cluster, print)
    yield made
    for namespace in set(_projects(kubectl)) - before:
        kubectl.delete("functions", "--all", "-n", namespace)
        kubectl.delete("namespace", namespace)
    made.forget()
    left = kubectl.get(_KINDS, "-n", NAMESPACE, "-l", _OWN)["items"]
    # The gateway that runs beside the cluster has Services of the same labels.
    names = {item["metadata"]["name"] for item in left} - {"gateway", "gateway-internal"}
    assert names == set()
    assert kubectl.find("pv", "ingot-dev-data") == {}


def _projects(kubectl: Kubectl) -> list[str]:
    found = [item["metadata"]["name"] for item in kubectl.get("namespaces")["items"]]
    return [name for name in found if name.startswith("prj-")]


def _walk(ingot: DevIngot, folder: Path) -> Walk:
    ingot.wait()
    assert httpx.get(f"{CONSOLE}/readyz", timeout=10).status_code == 200
    walk = Walk(CONSOLE, folder)
    walk.begin(ingot.owner_link())
    return walk


def test_kustomize_ends_with_a_function_that_answers(
    ingot: DevIngot, kubectl: Kubectl, tmp_path: Path
) -> None:
    image = ingot.prepare()
    folder = ingot.kustomization(image)
    ingot.kubectl("apply", "-k", folder)
    try:
        walk = _walk(ingot, tmp_path)
        url, key = walk.publish("hello")
        answer = walk.call(url, key)
        assert (answer.status_code, answer.json()) == (200, {"greeting": "Hello, Ada!"})
        lease = kubectl.get("lease", "ingot-operator", "-n", NAMESPACE)["spec"]["holderIdentity"]
        assert lease.startswith("ingot-operator-")
        # A pod that is made anew goes on where the last one was: keys, log and databases are not its own.
        ingot.kubectl("delete", "pod", "ingot-console-0", "-n", NAMESPACE, "--grace-period=0", "--force")
        ingot.wait()
        assert walk.call(url, key).status_code == 200
    finally:
        ingot.delete(folder)


def test_helm_ends_with_a_function_that_answers(ingot: DevIngot, tmp_path: Path) -> None:
    program = helm()
    ingot.helm(program, ingot.prepare())
    try:
        walk = _walk(ingot, tmp_path)
        url, key = walk.publish("hello")
        assert walk.call(url, key).json() == {"greeting": "Hello, Ada!"}
    finally:
        ingot.uninstall(program)


def test_helm_renders_the_chart_to_the_base(ingot: DevIngot, tmp_path: Path) -> None:
    image = f"registry.example/ingot/ingot@sha256:{'a' * 64}"
    for name, text in chart_files(KNATIVE, "1.2.3", image).items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    rendered = run([helm(), "template", "ingot", tmp_path, "--namespace", NAMESPACE])
    based = ingot.kubectl("kustomize", KNATIVE / "base")
    based = based.replace("image: ingot\n", f"image: {image}\n")
    wanted = _named(based)
    job = wanted.pop(("Job", "ingot-migrate"))
    job["metadata"]["name"] = "ingot-migrate-1"
    assert _named(rendered) == wanted | {("Job", "ingot-migrate-1"): job}


def _named(text: str) -> dict[tuple[str, str], Any]:
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(text) if item}
