"""A whole running Ingot that releases into the cluster of this machine, with an operator of its own.

It must be the only one there: what one control plane does not want, it
removes. Everything that it wrote into the cluster is gone afterwards.
"""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from builders.base.stored import push_base
from builders.place import RegistryPlace
from builders.registry.access import Access
from builders.registry.client import Registry
from builders.registry.conversation import Conversation
from builders.registry.names import Repository
from builders.signature import SigningKey
from control_plane.adapters.cluster.attesting import trust_entry
from control_plane.adapters.embedded.anchor import Ed25519Signer
from knative.bootstrap.configs import REGISTRY_USER
from knative.bootstrap.plan import NODE_ADDRESS, REGISTRY, Plan
from operators.kinds import ADMISSION, CONFIG_MAP, FUNCTION, NAMESPACE, POD, TOMBSTONE
from tests.support.cluster_images import ClusterImages
from tests.support.cluster_operator import ClusterOperator
from tests.support.running_cluster import here
from tests.support.system import System, running_system, wait_for

__all__ = ["KnativeSystem", "knative_system"]

# The ingress's listener for hosts inside the cluster.
_INGRESS: Final = f"{NODE_ADDRESS}:8081"
_PREFIX: Final = "bench"
_OURS: Final = "app.kubernetes.io/managed-by=ingot-console"
_EPOCH: Final = "ingot-runtime"


@dataclass(slots=True)
class KnativeSystem:
    """An Ingot, the operator that it relies on, and where its functions are."""

    system: System
    operator: ClusterOperator
    images: ClusterImages
    plan: Plan

    @property
    def namespace(self) -> str:
        """Return the namespace of the one project; only known once something was released."""
        (found,) = {
            body["metadata"]["namespace"] for body in self.operator.cluster.list(FUNCTION, labels=_OURS)
        }
        return str(found)

    def pods(self, namespace: str) -> list[dict[str, Any]]:
        """Return the pods of a namespace, those that are about to end included."""
        return self.operator.cluster.list(POD, namespace)

    def await_zero(self, namespace: str, seconds: float = 240) -> None:
        """Wait until no pod is left in a namespace."""
        wait_for(lambda: not self.pods(namespace), seconds, 1)


@contextlib.contextmanager
def knative_system(**environment: str) -> Iterator[KnativeSystem]:
    """Yield an Ingot that is set up and releases into the cluster."""
    plan = here()
    images = ClusterImages(plan.state / "test-images", plan.credentials / "passwords.json")
    operator = ClusterOperator(plan.state)
    try:
        _refuse_company(operator)
        operator.prepare()
        # Epochs only grow, and this installation begins with its first.
        _forget(operator)
        with tempfile.TemporaryDirectory(prefix="ingot-knative-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            settings = _settings(plan, images, folder) | environment
            with running_system(user=None, set_up=True, **settings) as system:
                operator.trust(*_trust(system.data))
                operator.start()
                try:
                    yield KnativeSystem(system, operator, images, plan)
                finally:
                    system.stop()
                    _remove(operator)
    finally:
        operator.close()
        images.close()


def _settings(plan: Plan, images: ClusterImages, folder: Path) -> dict[str, str]:
    """Write the files that the settings name; return the settings as variables."""
    password = json.loads((plan.credentials / "passwords.json").read_text())["registry"]
    key = SigningKey.generate()
    files = {
        "kubeconfig": (plan.credentials / "console.kubeconfig").read_bytes(),
        "password": password.encode(),
        "images.pem": key.pem,
    }
    for name, content in files.items():
        # The services drop their rights before they read them.
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o644)
    access = Access(REGISTRY, plain_http=True, username=REGISTRY_USER, password=password)
    base = images.base()
    with Conversation(access) as conversation:
        place = RegistryPlace(Registry(conversation), Repository(REGISTRY, f"{_PREFIX}/base"))
        push_base(place, base, key, images.folders.blobs)
    return {
        "INGOT_CLUSTER_KUBECONFIG": str(folder / "kubeconfig"),
        "INGOT_GATEWAY_INGRESS": _INGRESS,
        "INGOT_REGISTRY_ADDRESS": f"http://{REGISTRY}",
        "INGOT_REGISTRY_PREFIX": _PREFIX,
        "INGOT_REGISTRY_USERNAME": REGISTRY_USER,
        "INGOT_REGISTRY_PASSWORD_FILE": str(folder / "password"),
        "INGOT_REGISTRY_SIGNING_KEY_FILE": str(folder / "images.pem"),
    }


def _trust(data: Path) -> tuple[str, dict[str, Any]]:
    """Return what `ingot trust` prints: the entry of this installation's key."""
    key = base64.b64decode((data / "keys" / "release.key").read_text())
    return trust_entry(Ed25519Signer(key))


def _refuse_company(operator: ClusterOperator) -> None:
    """Fail where another Ingot is: each would remove what the other one released."""
    deployed = operator.cluster.list(POD, "ingot-system", "app.kubernetes.io/name=ingot")
    others = [pod["metadata"]["name"] for pod in deployed if pod["status"].get("phase") == "Running"]
    others += [body["metadata"]["name"] for body in operator.cluster.list(FUNCTION, labels=_OURS)]
    assert not others, f"another Ingot releases into this cluster: {others}"


def _forget(operator: ClusterOperator) -> None:
    operator.cluster.delete(CONFIG_MAP, "ingot-system", _EPOCH)


def _remove(operator: ClusterOperator) -> None:
    """Remove what the control plane wrote, and what the operator remembers of it."""
    cluster = operator.cluster
    functions = cluster.list(FUNCTION, labels=_OURS)
    namespaces = {body["metadata"]["name"] for body in cluster.list(NAMESPACE, labels=_OURS)}
    for body in functions:
        cluster.delete(FUNCTION, body["metadata"]["namespace"], body["metadata"]["name"])
    for body in functions:
        remembered = str(body["spec"]["function"]).replace("_", "-")
        cluster.delete(ADMISSION, "", remembered)
        cluster.delete(TOMBSTONE, "", remembered)
    for name in namespaces:
        cluster.delete(NAMESPACE, "", name)
    _forget(operator)
    # Pods that are told to end take half a minute, which nobody after this should measure.
    deadline = time.monotonic() + 120
    while any(cluster.get(NAMESPACE, "", name) for name in namespaces) and time.monotonic() < deadline:
        time.sleep(0.5)
