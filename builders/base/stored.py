"""Base images in a place of images: put there with their bill of materials, and brought back from there.

A machine without Debian's packages works with base images that were made elsewhere.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from builders.attachments import attach_sbom, check_signature, sbom_of, sign
from builders.base.assemble import BaseImage
from builders.base.filesystem import Tree, file, link
from builders.base.interpreter import Interpreter, lay_out
from builders.errors import BuildError
from builders.image import ImageLayer
from builders.oci import MANIFEST
from builders.place import Place
from builders.registry.client import Stored
from builders.registry.sources import of_bytes, of_file
from builders.signature import SigningKey, VerifyKey
from builders.storage import blob_path, new_blob, put_blob, still_needed, temporary_folder

__all__ = ["base_tag", "fetch_layer", "load_base", "push_base"]

_CONFIG_BYTES = 1 << 20
# A base image's layer is far smaller; what is larger is none.
_LARGEST_LAYER = 1 << 30


def base_tag(runtime: str, platform: str) -> str:
    """Return the tag under which new releases find the base image of a runtime."""
    return f"{runtime}-{platform}"


def push_base(place: Place, base: BaseImage, key: SigningKey, blobs: Path) -> str:
    """Put a base image there, signed, and make it the one that new releases stand on; returns its digest."""
    for layer in base.layers:
        place.put_blob(of_file(blob_path(blobs, layer.digest), layer.digest))
    stored = Stored(MANIFEST, blob_path(blobs, base.digest).read_bytes())
    config = stored.document["config"]["digest"]
    place.put_blob(of_bytes(blob_path(blobs, config).read_bytes()))
    # A tag of its own keeps it when the tag of its runtime moves on.
    place.put_manifest(f"b-{base.digest.removeprefix('sha256:')}", stored)
    sbom = attach_sbom(place, stored, blob_path(blobs, base.sbom).read_bytes())
    sign(place, sbom, key)
    sign(place, stored, key)
    place.put_manifest(base_tag(base.runtime, base.platform), stored)
    return base.digest


def load_base(place: Place, name: str, trusted: Iterable[VerifyKey], blobs: Path, cache: Path) -> BaseImage:
    """Return the base image under a tag or digest, with all of it here afterwards."""
    stored = place.manifest(name)
    if stored is None:
        raise BuildError(
            "base_unavailable",
            f"{place.name} holds no base image {name}.",
            hint="Push one with scripts/base_image.py push.",
        )
    check_signature(place, stored.digest, trusted)
    manifest = stored.document
    content = place.blob(manifest["config"]["digest"], _CONFIG_BYTES)
    config: dict[str, Any] = json.loads(content)
    layers = tuple(
        ImageLayer(one["annotations"]["dev.ingot.layer.role"], one["digest"], one["size"])
        for one in manifest["layers"]
    )
    for layer in layers:
        fetch_layer(place, layer, blobs)
    put_blob(blobs, content)
    put_blob(blobs, stored.content)
    runtime = config["config"]["Labels"]["dev.ingot.runtime"]
    platform = "linux-x86_64" if config["architecture"] == "amd64" else "linux-aarch64"
    interpreter = Interpreter(
        cache.resolve() / "bases" / stored.digest.removeprefix("sha256:"), runtime, platform
    )
    _unpack(blob_path(blobs, layers[0].digest), interpreter.root)
    sbom = put_blob(blobs, sbom_of(place, stored.digest))
    return BaseImage(runtime, platform, stored.digest, config, layers, sbom, interpreter)


def fetch_layer(place: Place, layer: ImageLayer, blobs: Path) -> None:
    """Bring a layer's blob here, unless it is here."""
    if still_needed(blob_path(blobs, layer.digest)):
        return
    if layer.size > _LARGEST_LAYER:
        raise BuildError("registry_corrupt", f"{place.name} names a layer of {layer.size} bytes.")
    with temporary_folder(blobs / "sha256") as work:
        path = work / "layer"
        with path.open("w+b") as stream:
            place.blob_to(layer.digest, layer.size, stream)
        with path.open("rb") as source, new_blob(blobs) as writer:
            while piece := source.read(1 << 20):
                writer.write(piece)
            if writer.digest != layer.digest:
                raise BuildError("registry_corrupt", f"{place.name} returned other bytes for {layer.digest}.")


def _unpack(blob: Path, folder: Path) -> None:
    if folder.is_dir():
        return
    tree: Tree = {}
    with tarfile.open(blob, mode="r:") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isreg() else None
            parts = member.name.split("/")
            if parts[0] != "usr" or ".." in parts:
                continue
            if stream is not None:
                tree[member.name] = file(stream.read(), executable=bool(member.mode & 0o100))
            elif member.issym():
                tree[member.name] = link(member.linkname)
    with temporary_folder(folder.parent) as work:
        lay_out(tree, work)
        # Whoever was first has won; the contents are the same.
        with suppress(OSError):
            work.rename(folder)
