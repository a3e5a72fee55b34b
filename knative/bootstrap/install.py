"""Installs Knative in the running cluster: images from the built programs, then manifests in stages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builders.registry.client import Registry
from builders.registry.names import parse_reference
from knative.bootstrap import eventing, serving
from knative.bootstrap.build import Builds
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.files import write_if_changed
from knative.bootstrap.images import push_program
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.plan import Plan
from knative.bootstrap.pods import waiting

__all__ = ["install_eventing", "install_serving", "push_images"]

_SHIPPED = ("knative.dev/serving", "knative.dev/networking", "knative.dev/caching", "knative.dev/eventing")


def push_images(plan: Plan, builds: Builds, registry: Registry) -> dict[str, str]:
    """Return the image of each package, pushing those that the registry does not have."""
    note = plan.state / "images.json"
    known = _noted(note, builds.key)
    if known and all(_is_there(registry, reference) for reference in known.values()):
        return known
    programs = {**serving.PROGRAMS, **eventing.PROGRAMS}
    pushed = {
        package: push_program(registry, f"knative/{name}", builds.binary(name))
        for package, name in programs.items()
    }
    write_if_changed(note, json.dumps({"builds": builds.key, "images": pushed}).encode())
    return pushed


def install_serving(plan: Plan, builds: Builds, kubectl: Kubectl, images: dict[str, str]) -> None:
    """Install Knative Serving and wait until its deployments are available."""
    _install(kubectl, serving.NAMESPACE, serving.stages(_shipped(builds), images, plan.profile))


def install_eventing(builds: Builds, kubectl: Kubectl, images: dict[str, str]) -> None:
    """Install Knative Eventing and wait until its deployments are available."""
    _install(kubectl, eventing.NAMESPACE, eventing.stages(_shipped(builds), images))


def _shipped(builds: Builds) -> dict[str, Path]:
    return {path: builds.manifests(path) for path in _SHIPPED}


def _install(kubectl: Kubectl, namespace: str, stages: Sequence[list[dict[str, Any]]]) -> None:
    key = hashlib.sha256(json.dumps(stages, sort_keys=True).encode()).hexdigest()
    note = kubectl.find("configmap", "ingot-installed", "--namespace", namespace)
    if note.get("data", {}).get("key") != key:
        definitions, ground, running = stages
        kubectl.apply(definitions)
        kubectl.wait("condition=Established", "crd", "--all", seconds=60)
        kubectl.apply(ground)
        kubectl.apply(running)
    _wait_for_deployments(kubectl, namespace)
    kubectl.apply([_note(namespace, key)])


def _wait_for_deployments(kubectl: Kubectl, namespace: str) -> None:
    try:
        kubectl.wait("condition=Available", "deployment", "--all", "--namespace", namespace, seconds=300)
    except ClusterError as error:
        # kubectl's own sentence names every deployment when one is late.
        pods = kubectl.get("pods", "--namespace", namespace)["items"]
        late = "\n  ".join(waiting(pods)) or str(error)
        raise ClusterError(f"{namespace} is not available:\n  {late}") from error


def _note(namespace: str, key: str) -> dict[str, Any]:
    """Return what says in the cluster itself what was installed last, so that it is not applied again."""
    metadata = {"name": "ingot-installed", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": key}}


def _noted(path: Path, build_key: str) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes())
        return dict(found["images"]) if found["builds"] == build_key else {}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _is_there(registry: Registry, reference: str) -> bool:
    repository, digest = parse_reference(reference)
    return registry.has_manifest(repository, digest)
