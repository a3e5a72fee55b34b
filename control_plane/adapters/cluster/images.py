"""The Images port over an OCI registry.

Three kinds of repositories below one prefix: `base` (base images), `versions`
(what was frozen, without a base) and one for each organization, so that a pull
secret opens the images of one tenant only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from builders.attachments import check_signature
from builders.base.assemble import BaseImage
from builders.base.stored import base_tag, fetch_layer, load_base
from builders.build import Folders, machine_platform
from builders.errors import BuildError
from builders.place import Place, RegistryPlace
from builders.publish import Entry, find, listed, remove
from builders.publish_version import keep_version, kept_layers, publish_version
from builders.registry.access import Access
from builders.registry.client import Registry
from builders.registry.conversation import Conversation
from builders.signature import SigningKey, VerifyKey
from builders.storage import blob_path
from control_plane.adapters.build_errors import translated
from control_plane.ports import StoredImage, VersionImage

__all__ = ["RegistryImages"]

_BASE, _VERSIONS = "base", "versions"


@dataclass(slots=True)
class RegistryImages:
    """Images in one registry. Shared by threads: each call has a conversation of its own."""

    access: Access
    # The repositories' common beginning, such as "ingot".
    prefix: str
    folders: Folders
    key: SigningKey
    # Keys that are trusted beside it: those that signed before, and those that sign base images.
    trusted: tuple[VerifyKey, ...] = ()
    _bases: dict[str, BaseImage] = field(default_factory=dict)

    def base(self, runtime: str) -> str:
        """Return the digest of the base image that new releases stand on."""
        name = base_tag(runtime, machine_platform())
        with self._places() as place:
            bases = place(_BASE)
            stored = bases.manifest(name)
            if stored is None:
                raise BuildError(
                    "base_unavailable",
                    f"The registry holds no base image for {runtime}.",
                    hint="Freeze the function for another runtime, or ask the operator to push one.",
                )
            check_signature(bases, stored.digest, self._keys)
            return stored.digest

    def keep(self, image: str) -> None:
        """Push a built version, so that any process of the control plane can publish it."""
        with self._places() as place:
            keep_version(place(_VERSIONS), image, self.folders)

    def publish(self, image: VersionImage, base: str) -> StoredImage:
        """Compose the image, push it, attach its SBOM and sign both."""
        manifest = image.manifest.encode()
        with self._places() as place:
            foundation = self._base(place(_BASE), base)
            self._fetch(place(_VERSIONS), manifest, image)
            mounts = {layer.digest: f"{self.prefix}/{_BASE}" for layer in foundation.layers}
            mounts |= dict.fromkeys(image.layers.values(), f"{self.prefix}/{_VERSIONS}")
            target = place(_repository_of(image.organization))
            version = (manifest, image.layers, image.sbom)
            entry = publish_version(target, foundation, version, self.key, self.folders, mounts)
            return _stored(target, entry)

    def find(self, organization: str, version: str, base: str) -> StoredImage | None:
        """Return the image of a version on a base, if it is there whole and signed."""
        with self._places() as place:
            target = place(_repository_of(organization))
            entry = find(target, version, base, self._keys)
            return _stored(target, entry) if entry is not None else None

    def stored(self, organization: str) -> tuple[StoredImage, ...]:
        """Return every image of an organization."""
        with self._places() as place:
            target = place(_repository_of(organization))
            return tuple(_stored(target, entry) for entry in listed(target))

    def remove(self, organization: str, digests: Collection[str]) -> int:
        """Remove images over the registry's API; freeing its disk is the registry's own business."""
        with self._places() as place:
            return remove(place(_repository_of(organization)), digests)

    @property
    def _keys(self) -> tuple[VerifyKey, ...]:
        return (self.key.public, *self.trusted)

    def _base(self, place: Place, digest: str) -> BaseImage:
        known = self._bases.get(digest)
        if known is None or not all(
            blob_path(self.folders.blobs, one.digest).exists() for one in known.layers
        ):
            known = load_base(place, digest, self._keys, self.folders.blobs, self.folders.cache)
            self._bases[digest] = known
        return known

    def _fetch(self, place: Place, manifest: bytes, image: VersionImage) -> None:
        """Bring the version's layers here when another process has built them."""
        if all(blob_path(self.folders.blobs, digest).exists() for digest in image.layers.values()):
            return
        for layer in kept_layers(place, manifest):
            if image.layers.get(layer.role) == layer.digest:
                fetch_layer(place, layer, self.folders.blobs)

    @contextmanager
    def _places(self) -> Iterator[Callable[[str], Place]]:
        """Give the repositories below the prefix, by name."""
        with translated(), Conversation(self.access) as conversation:
            registry = Registry(conversation)
            yield lambda name: RegistryPlace(registry, registry.repository(f"{self.prefix}/{name}"))


def _repository_of(organization: str) -> str:
    return f"functions/{organization.lower()}"


def _stored(place: Place, entry: Entry) -> StoredImage:
    return StoredImage(place.reference(entry.digest), entry.digest, entry.version, entry.base)
