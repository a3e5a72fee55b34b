"""Composes what a cluster runs: base, the version's own layers untouched, their bytecode, its manifest.

Everything lands in the blobs folder. The same version on the same base gives
the same bytes, on any machine; where the image goes afterwards may not be
known here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.base.assemble import BaseImage, layer_descriptor
from builders.base.filesystem import Tree, file, write_tree
from builders.build import Folders
from builders.errors import BuildError
from builders.image import ImageLayer
from builders.layers import ROOTS
from builders.oci import CONFIG, MANIFEST, canonical, descriptor
from builders.registry.names import digest_of
from builders.storage import blob_path, new_blob, put_blob, replace_file, still_needed, temporary_folder
from builders.unpack import unpack_layer

__all__ = ["VERSION_LABEL", "ReleaseImage", "compose"]

VERSION_LABEL = "dev.ingot.version.digest"
# The manifest that was approved, as the runtime reads it.
_MANIFEST_PATH = "opt/ingot/version/manifest.json"
# What changes least comes first.
_ORDER = ("deps", "function")


@dataclass(frozen=True, slots=True)
class ReleaseImage:
    """An image that lies whole in the blobs folder."""

    # Of its manifest: what is deployed, signed and pulled.
    digest: str
    config: str
    layers: tuple[ImageLayer, ...]
    # Digest of the base image's manifest.
    base: str
    # Digest of the version.
    version: str
    size: int


def compose(base: BaseImage, manifest: bytes, layers: Mapping[str, str], folders: Folders) -> ReleaseImage:
    """Return the image of a version, whose manifest and layers (role -> digest) are given."""
    document = json.loads(manifest)
    if document["runtime"] != base.runtime:
        raise BuildError(
            "base_unavailable",
            f"The version is for {document['runtime']}, the base image for {base.runtime}.",
        )
    own: list[ImageLayer] = []
    for role in _ORDER:
        if role in layers:
            own.append(_stored(role, layers[role], folders.blobs))
            own.append(_bytecode(base, role, layers[role], folders))
    own.append(_tree_layer("version", {_MANIFEST_PATH: file(manifest)}, folders.blobs))
    version = digest_of(manifest)
    every = (*base.layers, *own)
    config = canonical(_config(base, every, version, document))
    content = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config),
            "layers": [layer_descriptor(layer) for layer in every],
            "annotations": {VERSION_LABEL: version, "org.opencontainers.image.base.digest": base.digest},
        }
    )
    return ReleaseImage(
        digest=put_blob(folders.blobs, content),
        config=put_blob(folders.blobs, config),
        layers=every,
        base=base.digest,
        version=version,
        size=sum(layer.size for layer in every),
    )


def _stored(role: str, digest: str, blobs: Path) -> ImageLayer:
    path = blob_path(blobs, digest)
    if not still_needed(path):
        raise BuildError(
            "layer_corrupt", f"The {role} layer {digest} is not here.", hint="Build the version again first."
        )
    return ImageLayer(role, digest, path.stat().st_size)


def _bytecode(base: BaseImage, role: str, digest: str, folders: Folders) -> ImageLayer:
    """Return the layer with a layer's bytecode, remembered for each interpreter."""
    name = f"{role}-bytecode"
    interpreter = base.interpreter
    packages = base.config["config"]["Labels"]["dev.ingot.base.packages"].removeprefix("sha256:")
    note = folders.cache / "bytecode-layers" / f"{packages[:32]}-{digest[7:]}.json"
    try:
        known = json.loads(note.read_bytes())
        return _stored(name, known["digest"], folders.blobs)
    except (OSError, ValueError, KeyError, TypeError, BuildError):
        pass
    unpacked = unpack_layer(folders.blobs, folders.layers, digest, role)
    with temporary_folder(folders.cache.resolve()) as work:
        # The compiler sees the layer at the path that it has in the image.
        (work / ROOTS[role]).parent.mkdir(parents=True)
        (work / ROOTS[role]).symlink_to(unpacked.resolve())
        compiled = interpreter.compile(work, [ROOTS[role]])
    layer = _tree_layer(name, compiled, folders.blobs)
    note.parent.mkdir(parents=True, exist_ok=True)
    replace_file(note, canonical({"digest": layer.digest}))
    return layer


def _tree_layer(role: str, tree: Tree, blobs: Path) -> ImageLayer:
    with new_blob(blobs) as writer:
        write_tree(tree, writer)
    return ImageLayer(role, writer.digest, writer.size)


def _config(
    base: BaseImage, layers: Sequence[ImageLayer], version: str, document: Mapping[str, Any]
) -> dict[str, Any]:
    inherited = base.config["config"]
    labels = {
        VERSION_LABEL: version,
        "dev.ingot.kind": document["kind"],
        "dev.ingot.handler": document["handler"],
    }
    return {
        **base.config,
        "config": {**inherited, "Labels": {**inherited["Labels"], **labels}},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created_by": f"ingot {layer.role} layer"} for layer in layers],
    }
