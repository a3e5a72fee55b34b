"""Who signs what leaves this Ingot: the worker, with the release key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from builders.build import machine_platform
from control_plane.adapters.cluster.exported_functions import attested_function
from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.bootstrap.images import make_images
from control_plane.bootstrap.parts import key
from control_plane.bootstrap.storage import make_blobs
from control_plane.services.changes import Changes
from control_plane.services.exporting import Attest, Exporting, Seal
from control_plane.services.release_images import ReleaseImages
from control_plane.settings import Settings

__all__ = ["make_exporting"]


def make_exporting(
    settings: Settings, changes: Changes, keys: Mapping[str, str], isolation: str
) -> Exporting:
    """Return who signs exports."""
    signer = Ed25519Signer(key(keys, "release"))
    images = make_images(settings)
    attest: Attest | None = None
    if images is not None:
        image_of = ReleaseImages(changes, images, make_blobs(settings)).of
        attest = partial(attested_function, image_of=image_of, signer=signer)
    return Exporting(changes, Seal(signer, machine_platform(), isolation), attest)
