"""The peer in the cluster: functions-framework in an ordinary image, as a Knative Service with no settings.

The image is what `pip install` gives on the same Debian packages as Ingot's
own base image, with the bytecode that an installation compiles.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from builders.base.filesystem import Tree, file, write_tree
from builders.image import ImageLayer
from builders.oci import CONFIG, LAYER, MANIFEST, canonical, descriptor
from builders.place import RegistryPlace
from builders.registry.client import Stored
from builders.registry.names import Repository
from builders.registry.sources import of_bytes, of_file
from builders.storage import blob_path, new_blob, temporary_folder
from knative.bootstrap.plan import FUNCTIONS_DOMAIN, REGISTRY
from operators.cluster import Cluster
from operators.kinds import KNATIVE_SERVICE, NAMESPACE
from tests.bench.peers import FUNCTIONS_FRAMEWORK, peer_python
from tests.support.cluster_images import RUNTIME, ClusterImages
from tests.support.system import wait_for

__all__ = ["STOCK", "host", "make_services", "push_stock", "remove_services"]

# The namespace of the peer's Services.
STOCK: Final = "bench-stock"
_SITE: Final = "opt/site"
_APP: Final = "opt/app"


def push_stock(images: ClusterImages) -> str:
    """Return the image of functions-framework with the handler that all peers serve."""
    base = images.base()
    assert f"python{sys.version_info.major}.{sys.version_info.minor}" == RUNTIME, (
        "packages are for one Python"
    )
    site = Path(peer_python(FUNCTIONS_FRAMEWORK)).parents[1] / "lib" / RUNTIME / "site-packages"
    tree = {f"{_SITE}/{path.relative_to(site)}": file(path.read_bytes()) for path in _plain_files(site)}
    tree[f"{_APP}/main.py"] = file(FUNCTIONS_FRAMEWORK.files["main.py"].encode())
    tree |= _bytecode(images, tree)
    with new_blob(images.folders.blobs) as writer:
        write_tree(tree, writer)
    layers = (base.layers[0], ImageLayer("packages", writer.digest, writer.size))
    config = canonical(_config(base.config, layers))
    stored = Stored(
        MANIFEST,
        canonical(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": descriptor(CONFIG, config),
                "layers": [
                    {"mediaType": LAYER, "digest": layer.digest, "size": layer.size} for layer in layers
                ],
            }
        ),
    )
    place = RegistryPlace(images.registry, Repository(REGISTRY, "bench/stock"))
    for layer in layers:
        place.put_blob(of_file(blob_path(images.folders.blobs, layer.digest), layer.digest))
    place.put_blob(of_bytes(config))
    place.put_manifest("functions-framework", stored)
    return place.reference(stored.digest)


def make_services(cluster: Cluster, image: str, count: int) -> list[str]:
    """Make as many Services, all ready once; returns their names."""
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": STOCK}}, "bench")
    names = [f"stock-{number}" for number in range(count)]
    for name in names:
        container = {"image": image, "env": _environment()}
        spec: dict[str, Any] = {"template": {"spec": {"containers": [container]}}}
        cluster.apply(
            {
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": STOCK},
                "spec": spec,
            },
            "bench",
        )
    for name in names:
        wait_for(lambda name=name: _is_ready(cluster, name), 180, 0.2)  # type: ignore[misc]
    return names


def remove_services(cluster: Cluster) -> None:
    """Remove all of them."""
    cluster.delete(NAMESPACE, "", STOCK)
    wait_for(lambda: cluster.get(NAMESPACE, "", STOCK) is None, 180, 0.5)


def host(name: str) -> str:
    """Return the host under which the gateway takes calls for a Service."""
    return f"{name}-{STOCK}.{FUNCTIONS_DOMAIN}"


def _is_ready(cluster: Cluster, name: str) -> bool:
    status = (cluster.get(KNATIVE_SERVICE, STOCK, name) or {}).get("status", {})
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", ()))


def _environment() -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in FUNCTIONS_FRAMEWORK.environment.items()]


def _plain_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]


def _bytecode(images: ClusterImages, tree: Tree) -> Tree:
    with temporary_folder(images.folders.cache.resolve()) as work:
        for path, node in tree.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_bytes(node.content)
        return images.base().interpreter.compile(work, [_SITE, _APP])


def _config(base: dict[str, Any], layers: tuple[ImageLayer, ...]) -> dict[str, Any]:
    command = [part.format(python=f"/usr/bin/{RUNTIME}", port="8080") for part in FUNCTIONS_FRAMEWORK.command]
    environment = [
        "PATH=/usr/bin",
        "LANG=C.UTF-8",
        f"PYTHONPATH=/{_SITE}",
        "PYTHONPYCACHEPREFIX=/opt/ingot/bytecode",
        "PYTHONDONTWRITEBYTECODE=1",
    ]
    return {
        "architecture": base["architecture"],
        "os": "linux",
        "config": {
            "Entrypoint": command,
            "Env": environment,
            "User": base["config"]["User"],
            "WorkingDir": f"/{_APP}",
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created_by": f"{layer.role} layer"} for layer in layers],
    }
