"""The image that a version runs from: found where it was published, or published now.

What an image consists of is for the Images port; which targets are wanted is
the reconciler's business.
"""

from __future__ import annotations

from control_plane.domain.desired import HostTarget
from control_plane.domain.events import Event
from control_plane.domain.identity import Actor
from control_plane.domain.reviews import ReviewState
from control_plane.domain.versions import Version, VersionState
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
            self._known[key] = (
                found.reference if found is not None else self._publish(self._version(target), target.base)
            )
        return self._known[key]

    def prepare(self, event: Event) -> None:
        """Publish the image of a version that was approved, so that its release need not wait for it.

        The base is the one that a release would get now. Where another one is
        current by then, the release makes its own image as if this had not been.
        """
        if event.data["state"] != ReviewState.APPROVED:
            return
        with self._changes.read(Actor.system(event.organization)) as view:
            review = view.unit.reviews.get(event.organization, event.subject)
            version = view.unit.versions.get(event.organization, review.version) if review else None
        if version is None or version.state in {VersionState.RETIRED, VersionState.TAKEN_DOWN}:
            return
        base = self._images.base(version.declaration.runtime)
        if self._images.find(event.organization, version.digest, base) is None:
            self._publish(version, base)

    def _version(self, target: HostTarget) -> Version:
        with self._changes.read(Actor.system(target.organization)) as view:
            version = view.unit.versions.get(target.organization, target.version)
        if version is None:
            raise NotFound(f"There is no version {target.version}.")
        return version

    def _publish(self, version: Version, base: str) -> str:
        try:
            sbom = self._blobs.get(version.sbom)
        except FileNotFoundError as error:
            raise NotFound(
                f"The bill of materials of version {version.number} is gone.",
                hint="Freeze the draft again: the same draft gives the same version.",
            ) from error
        order = VersionImage(version.organization, version.manifest_text, version.layers, sbom)
        return self._images.publish(order, base).reference
