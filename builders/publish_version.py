"""From a version's parts to an image that can be pulled: composed here, published there.

Thin: what an image consists of is for `release_image`, how it travels for `publish`.
"""

from __future__ import annotations

from collections.abc import Mapping

from builders.base.assemble import BaseImage
from builders.base.inventory import with_base
from builders.build import Folders
from builders.errors import BuildError
from builders.image import ImageLayer
from builders.oci import MANIFEST
from builders.place import Place
from builders.publish import Entry, publish
from builders.registry.client import Stored
from builders.registry.names import digest_of
from builders.registry.sources import of_bytes, of_file
from builders.release_image import compose
from builders.signature import SigningKey
from builders.storage import blob_path

__all__ = ["keep_version", "kept_layers", "publish_version"]


def publish_version(
    place: Place,
    base: BaseImage,
    version: tuple[bytes, Mapping[str, str], bytes],
    key: SigningKey,
    folders: Folders,
    mounts: Mapping[str, str],
) -> Entry:
    """Compose and publish the image of a version: its manifest, its layers (role -> digest), its SBOM."""
    manifest, layers, sbom = version
    image = compose(base, manifest, layers, folders)
    whole = with_base(sbom, blob_path(folders.blobs, base.sbom).read_bytes())
    publish(place, image, whole, key, folders.blobs, mounts)
    return Entry(image.digest, image.version, image.base)


def keep_version(place: Place, image: str, folders: Folders) -> None:
    """Put a built version's own image there, without a base: it cannot run, and nothing of it gets lost."""
    stored = Stored(MANIFEST, blob_path(folders.blobs, image).read_bytes())
    document = stored.document
    for one in document["layers"]:
        place.put_blob(of_file(blob_path(folders.blobs, one["digest"]), one["digest"]))
    place.put_blob(of_bytes(blob_path(folders.blobs, document["config"]["digest"]).read_bytes()))
    place.put_manifest(_tag(document["annotations"]["dev.ingot.version.digest"]), stored)


def kept_layers(place: Place, manifest: bytes) -> tuple[ImageLayer, ...]:
    """Return the layers of a version that was kept there."""
    version = digest_of(manifest)
    stored = place.manifest(_tag(version))
    if stored is None:
        raise BuildError(
            "layer_corrupt", f"{place.name} does not hold the version {version}.", hint="Freeze it again."
        )
    return tuple(
        ImageLayer(one["annotations"]["dev.ingot.layer.role"], one["digest"], one["size"])
        for one in stored.document["layers"]
    )


def _tag(version: str) -> str:
    return f"v-{version.removeprefix('sha256:')}"
