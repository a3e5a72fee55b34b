"""From a version's sources and lock to an image in a place of its owner's: for people who leave.

The image is composed as everywhere else; nothing of it needs Ingot to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from builders.base.assemble import BaseImage
from builders.build import Folders, adopt, build, freeze, read_draft, read_lock
from builders.errors import BuildError
from builders.oci import MANIFEST
from builders.place import Place
from builders.registry.client import Stored
from builders.registry.sources import of_bytes, of_file
from builders.release_image import ReleaseImage, compose
from builders.storage import blob_path

__all__ = ["Sources", "make_image", "put_image"]


@dataclass(frozen=True, slots=True)
class Sources:
    """All that a version is made of."""

    # The version's digest, which these files and this lock must come to.
    digest: str
    files: Mapping[str, bytes]
    lock: bytes
    # (digest, bytes) of its dependencies' layer; None: it is made from the lock.
    deps: tuple[str, bytes] | None = None


def make_image(sources: Sources, base: BaseImage, folders: Folders) -> ReleaseImage:
    """Build the version and compose its image in the blobs folder. Raises BuildError for another digest."""
    lock = read_lock(sources.lock)
    frozen = freeze(read_draft(sources.files), lock)
    if frozen.digest != sources.digest:
        raise BuildError("lock_stale", f"The files and the lock are {frozen.digest}, not {sources.digest}.")
    if sources.deps is not None:
        adopt(lock, folders, *sources.deps)
    built = build(frozen, sources.files, lock, folders)
    return compose(base, frozen.manifest, built.layers, folders)


def put_image(place: Place, image: ReleaseImage, folders: Folders, tag: str) -> str:
    """Put the image there under a tag; returns by what name it is deployed."""
    for layer in image.layers:
        place.put_blob(of_file(blob_path(folders.blobs, layer.digest), layer.digest))
    place.put_blob(of_bytes(blob_path(folders.blobs, image.config).read_bytes()))
    place.put_manifest(tag, Stored(MANIFEST, blob_path(folders.blobs, image.digest).read_bytes()))
    return place.reference(image.digest)
