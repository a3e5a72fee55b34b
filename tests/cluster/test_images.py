"""The cluster's own registry and kubelet: what is published runs there under the strictest rules for pods."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from builders.base.stored import push_base
from builders.build import Folders, build, freeze, lock, read_draft
from builders.place import RegistryPlace
from builders.registry.access import Access
from builders.registry.client import Registry
from builders.registry.conversation import Conversation
from builders.signature import SigningKey
from builders.storage import remove_tree
from control_plane.adapters.cluster.images import RegistryImages
from control_plane.ports import StoredImage, VersionImage
from knative.bootstrap.configs import REGISTRY_USER
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.plan import REGISTRY, Plan
from tests.builders.test_starters import files_of
from tests.support.base_image import RUNTIME, real_base
from tests.support.cosign_check import build_cosign_check, cosign_accepts

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

_PREFIX = "test-images"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("images")
    yield made
    remove_tree(made / "layers")
    remove_tree(made / "other" / "layers")


@pytest.fixture(scope="module")
def images(cluster: Plan, folder: Path) -> RegistryImages:
    """The adapter as a control plane has it, with a base image in the registry."""
    password = json.loads((cluster.credentials / "passwords.json").read_bytes())["registry"]
    access = Access(REGISTRY, plain_http=True, username=REGISTRY_USER, password=password)
    key = SigningKey.generate()
    try:
        base = real_base(folder)
    except FileNotFoundError as reason:
        pytest.skip(str(reason))
    with Conversation(access) as conversation:
        registry = Registry(conversation)
        place = RegistryPlace(registry, registry.repository(f"{_PREFIX}/base"))
        push_base(place, base, key, folder / "blobs")
    # Another machine than the one that made the base image: all it has comes from the registry.
    other = folder / "other"
    return RegistryImages(access, _PREFIX, Folders(other / "blobs", other / "layers", other / "cache"), key)


def _version(images: RegistryImages, folder: Path, starter: str) -> VersionImage:
    """Freeze a starter on a third machine, and keep it in the registry."""
    folders = Folders(folder / "blobs", folder / "layers", folder / "cache")
    files = files_of(starter)
    files["ingot.toml"] = f'runtime = "{RUNTIME}"\n'.encode() + files["ingot.toml"]
    plan = read_draft(files)
    locked = lock(plan, folders.cache)
    frozen = freeze(plan, locked)
    built = build(frozen, files, locked, folders)
    keeper = RegistryImages(images.access, _PREFIX, folders, images.key)
    keeper.keep(built.image)
    return VersionImage("org_01test", frozen.manifest.decode(), built.layers, built.sbom)


def _pod(name: str, image: StoredImage) -> dict[str, Any]:
    allowed = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "user-container",
        "image": image.reference,
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": {"limits": {"memory": "512Mi"}},
        "securityContext": allowed,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "containers": [container],
        },
    }


def _run(kubectl: Kubectl, namespace: str, name: str, image: StoredImage) -> str:
    """Run an image as a pod; returns its address."""
    strict = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply(
        [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": strict}}]
    )
    pod = _pod(name, image)
    pod["metadata"]["namespace"] = namespace
    kubectl.apply([pod])
    kubectl.wait("condition=Ready", "pod", name, "--namespace", namespace, seconds=120)
    return str(kubectl.get("pod", name, "--namespace", namespace)["status"]["podIP"])


def test_a_starter_runs_as_a_pod_and_leaves_on_sigterm(
    images: RegistryImages, folder: Path, kubectl: Kubectl, namespace: str
) -> None:
    image = images.publish(_version(images, folder, "hello"), images.base(RUNTIME))
    address = _run(kubectl, namespace, "hello", image)
    answer = httpx.post(f"http://{address}:8080/", json={"name": "cluster"}, timeout=10, trust_env=False)
    assert answer.json() == {"greeting": "Hello, cluster!"}
    refused = httpx.post(f"http://{address}:8080/", json={"nam": 1}, timeout=10, trust_env=False)
    assert (refused.status_code, refused.json()["fault"]) == (422, "caller")
    # Far within the 30 seconds after which the kubelet would kill it.
    kubectl.delete("pod", "hello", "--namespace", namespace, seconds=15)


def test_dependencies_run_as_a_pod(
    images: RegistryImages, folder: Path, kubectl: Kubectl, namespace: str
) -> None:
    image = images.publish(_version(images, folder, "orders-report"), images.base(RUNTIME))
    address = _run(kubectl, namespace, "orders", image)
    sample = json.loads(files_of("orders-report")["input.json"])
    answer = httpx.post(f"http://{address}:8080/", json=sample, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert answer.json()["orders"] == 60


def test_cosign_accepts_what_the_cluster_pulls(images: RegistryImages, folder: Path, tmp_path: Path) -> None:
    try:
        program = build_cosign_check()
    except FileNotFoundError as reason:
        pytest.skip(str(reason))
    image = images.publish(_version(images, folder, "hello"), images.base(RUNTIME))
    credentials = {"REGISTRY_USER": images.access.username, "REGISTRY_PASSWORD": images.access.password}
    (tmp_path / "own.pem").write_bytes(images.key.public.pem)
    (tmp_path / "other.pem").write_bytes(SigningKey.generate().public.pem)
    assert cosign_accepts(program, tmp_path / "own.pem", image.reference, credentials)
    assert not cosign_accepts(program, tmp_path / "other.pem", image.reference, credentials)


def test_images_are_listed_and_removed(images: RegistryImages, folder: Path) -> None:
    image = images.publish(_version(images, folder, "asgi-hello"), images.base(RUNTIME))
    assert image in images.stored("org_01test")
    assert images.remove("org_01test", [image.digest]) == 1
    assert image not in images.stored("org_01test")
