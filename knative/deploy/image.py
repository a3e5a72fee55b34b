"""Makes Ingot's own image: a base image, the wheels, the code, their bytecode. Deterministic.

One image for every process of Ingot; what a container runs is its arguments'
to say. The same checkout and the same package list give the same digest.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.base.assemble import BaseImage, layer_descriptor
from builders.base.contents import USER
from builders.base.filesystem import Tree, write_tree
from builders.base.interpreter import BYTECODE
from builders.build import Folders
from builders.dependencies import dependency_layer
from builders.image import ImageLayer
from builders.layers import ROOTS
from builders.lock import lock
from builders.oci import CONFIG, MANIFEST, canonical, descriptor
from builders.plan import read_draft
from builders.progress import Phases, no_progress
from builders.storage import blob_path, new_blob, put_blob, temporary_folder
from builders.unpack import unpack_layer
from knative.deploy.contents import CODE, check_hashes, code_tree, path_tree, pinned

__all__ = ["IngotImage", "make_image"]


@dataclass(frozen=True, slots=True)
class IngotImage:
    """An image of Ingot that lies in the blobs folder."""

    digest: str
    config: str
    layers: tuple[ImageLayer, ...]

    @property
    def size(self) -> int:
        """Return how many bytes all its layers have."""
        return sum(layer.size for layer in self.layers)


def make_image(checkout: Path, base: BaseImage, folders: Folders) -> IngotImage:
    """Return the image of a checkout on a base image, made if need be. Safe to do twice at once."""
    wheels = _wheels(checkout, base.platform, folders)
    code = code_tree(checkout)
    bytecode = _bytecode(base, code, wheels, folders)
    layers = (
        *base.layers,
        wheels,
        _layer("code", code | path_tree(), folders.blobs),
        _layer("bytecode", bytecode, folders.blobs),
    )
    config = canonical(_config(base.config, layers))
    content = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config),
            "layers": [layer_descriptor(layer) for layer in layers],
            "annotations": {"org.opencontainers.image.base.digest": base.digest},
        }
    )
    return IngotImage(put_blob(folders.blobs, content), put_blob(folders.blobs, config), layers)


def _wheels(checkout: Path, platform: str, folders: Folders) -> ImageLayer:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    requirements = (checkout / "requirements.txt").read_text()
    wanted = "\n".join(pinned(project["dependencies"], requirements))
    # Resolved like a function's dependencies: wheels only, for each platform, by their hashes.
    draft = {
        "main.py": b"def execute(input, context):\n    return None\n",
        "requirements.txt": wanted.encode(),
    }
    declared = b'name = "ingot"\nruntime = "python3.11"\n'
    found = lock(read_draft(draft | {"ingot.toml": declared}), folders.cache, timeout_s=300.0)
    check_hashes(found, requirements)
    digest, size = dependency_layer(found, platform, folders.blobs, folders.cache, Phases(no_progress))
    return ImageLayer("deps", digest, size)


def _bytecode(base: BaseImage, code: Tree, wheels: ImageLayer, folders: Folders) -> Tree:
    """Return the bytecode of everything, where every Python looks for it without being told."""
    library = f"usr/lib/{base.runtime}"
    unpacked = unpack_layer(folders.blobs, folders.layers, wheels.digest, "deps")
    with temporary_folder(folders.cache.resolve()) as work:
        for path, node in code.items():
            if path.endswith(".py"):
                (work / path).parent.mkdir(parents=True, exist_ok=True)
                (work / path).write_bytes(node.content)
        (work / ROOTS["deps"]).symlink_to(unpacked.resolve())
        (work / library).parent.mkdir(parents=True)
        (work / library).symlink_to(base.interpreter.root / library)
        compiled = base.interpreter.compile(work, [CODE, ROOTS["deps"], library])
    return {_beside(path): node for path, node in compiled.items()}


def _beside(path: str) -> str:
    folder, _, name = path.removeprefix(f"{BYTECODE}/").rpartition("/")
    return f"{folder}/__pycache__/{name}"


def _layer(role: str, tree: Tree, blobs: Path) -> ImageLayer:
    with new_blob(blobs) as writer:
        write_tree(tree, writer)
    return ImageLayer(role, writer.digest, writer.size)


def _config(base: Mapping[str, Any], layers: Sequence[ImageLayer]) -> dict[str, Any]:
    runtime = base["config"]["Labels"]["dev.ingot.runtime"]
    return {
        **base,
        "config": {
            "Entrypoint": [f"/usr/bin/{runtime}"],
            "Cmd": ["-m", "control_plane.cli.main", "--help"],
            "Env": ["PATH=/usr/bin", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"],
            "User": f"{USER}:{USER}",
            "WorkingDir": "/tmp",  # noqa: S108 - the one folder that every container may write to.
            "StopSignal": "SIGTERM",
            "Labels": {"org.opencontainers.image.title": "Ingot"},
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created_by": f"ingot {layer.role} layer"} for layer in layers],
    }


def image_manifest(image: IngotImage, blobs: Path) -> bytes:
    """Return the bytes of the image's manifest."""
    return blob_path(blobs, image.digest).read_bytes()
