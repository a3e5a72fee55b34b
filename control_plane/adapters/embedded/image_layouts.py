"""The Images port over folders in OCI layout, one for each organization: images that travel as files.

The function host needs none of them; they are for a cluster that takes over,
or for people who leave. The bytes are those that a registry would hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from builders.base.assemble import BaseImage
from builders.build import Folders
from builders.layout import LayoutPlace
from builders.publish import Entry, find, listed, remove
from builders.publish_version import publish_version
from builders.signature import SigningKey
from control_plane.adapters.build_errors import translated
from control_plane.errors import Invalid
from control_plane.ports import StoredImage, VersionImage

__all__ = ["LayoutImages"]


@dataclass(frozen=True, slots=True)
class LayoutImages:
    """Images in folders below one folder."""

    folder: Path
    folders: Folders
    key: SigningKey
    # Makes the base image of a runtime on this machine. Raises BuildError when it cannot.
    make_base: Callable[[str], BaseImage]

    def base(self, runtime: str) -> str:
        """Return the digest of the base image that new releases stand on."""
        with translated():
            return self.make_base(runtime).digest

    def keep(self, image: str) -> None:
        """Do nothing: what was built lies in the blobs folder, which is this machine's own."""

    def publish(self, image: VersionImage, base: str) -> StoredImage:
        """Compose the image into the organization's folder, attach its SBOM and sign both."""
        with translated():
            foundation = self.make_base(_runtime_of(image))
            if foundation.digest != base:
                raise Invalid(
                    "This machine makes another base image than the one that is asked for.",
                    hint="Publish on the base image of now, or with the Ingot that made the other.",
                )
            place = self._place(image.organization)
            version = (image.manifest.encode(), image.layers, image.sbom)
            return _stored(place, publish_version(place, foundation, version, self.key, self.folders, {}))

    def find(self, organization: str, version: str, base: str) -> StoredImage | None:
        """Return the image of a version on a base, if it is there whole and signed."""
        with translated():
            place = self._place(organization)
            entry = find(place, version, base, (self.key.public,))
            return _stored(place, entry) if entry is not None else None

    def stored(self, organization: str) -> tuple[StoredImage, ...]:
        """Return every image of an organization."""
        with translated():
            place = self._place(organization)
            return tuple(_stored(place, entry) for entry in listed(place))

    def remove(self, organization: str, digests: Collection[str]) -> int:
        """Remove images, and the files that no other image in the folder needs."""
        with translated():
            return remove(self._place(organization), digests)

    def _place(self, organization: str) -> LayoutPlace:
        if not organization.replace("_", "").isalnum():
            raise Invalid("The organization's id cannot be a folder's name.")
        return LayoutPlace(self.folder / organization.lower())


def _runtime_of(image: VersionImage) -> str:
    return str(json.loads(image.manifest)["runtime"])


def _stored(place: LayoutPlace, entry: Entry) -> StoredImage:
    return StoredImage(place.reference(entry.digest), entry.digest, entry.version, entry.base)
