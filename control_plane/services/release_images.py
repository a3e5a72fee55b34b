"""The image that a wanted target runs from: found where it was published, or published now.

What an image consists of is for the Images port; which targets are wanted is
the reconciler's business.
"""

from __future__ import annotations

from control_plane.domain.desired import HostTarget
from control_plane.domain.identity import Actor
from control_plane.errors import NotFound
from control_plane.ports import Blobs, Images, VersionImage
from control_plane.services.changes import Changes

__all__ = ["ReleaseImages"]


class ReleaseImages:
    """References by digest, remembered as long as the process lives. Safe for several threads."""

    def __init__(self, changes: Changes, images: Images, blobs: Blobs) -> None:
        self._changes = changes
        self._images = images
        self._blobs = blobs
        # (organization, version's digest, base) -> reference; an image never changes.
        self._known: dict[tuple[str, str, str], str] = {}

    def of(self, target: HostTarget) -> str:
        """Return the image of a target's version on its release's base; publish it unless it is there."""
        key = (target.organization, target.digest, target.base)
        if key not in self._known:
            found = self._images.find(*key)
            self._known[key] = found.reference if found is not None else self._publish(target)
        return self._known[key]

    def _publish(self, target: HostTarget) -> str:
        with self._changes.read(Actor.system(target.organization)) as view:
            version = view.unit.versions.get(target.organization, target.version)
        if version is None:
            raise NotFound(f"There is no version {target.version}.")
        try:
            sbom = self._blobs.get(version.sbom)
        except FileNotFoundError as error:
            raise NotFound(
                f"The bill of materials of version {version.number} is gone.",
                hint="Freeze the draft again: the same draft gives the same version.",
            ) from error
        order = VersionImage(version.organization, version.manifest_text, version.layers, sbom)
        return self._images.publish(order, target.base).reference
