"""Puts a composed image where it is pulled from, with all that belongs to it, and lists what is there.

Repeating it is cheap and heals what a kill left half done: an image is found
by what it holds only after it was signed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.attachments import attach_sbom, attached, attachment_tags, check_signature, sign
from builders.errors import BuildError
from builders.oci import MANIFEST
from builders.place import Place
from builders.registry.client import Stored
from builders.registry.names import digest_of
from builders.registry.sources import of_bytes, of_file
from builders.release_image import VERSION_LABEL, ReleaseImage
from builders.signature import SigningKey, VerifyKey
from builders.storage import blob_path

__all__ = ["Entry", "find", "listed", "publish", "remove"]

_BASE = "org.opencontainers.image.base.digest"
_TAG = re.compile(r"i-([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a version, as it lies in a place."""

    digest: str
    # The version's own digest.
    version: str
    base: str


def publish(
    place: Place, image: ReleaseImage, sbom: bytes, key: SigningKey, blobs: Path, mounts: Mapping[str, str]
) -> str:
    """Publish an image; `mounts` says in which repository a layer lies already. Returns its reference."""
    stored = Stored(MANIFEST, blob_path(blobs, image.digest).read_bytes())
    _put_image(place, stored, image, blobs, mounts)
    attached_sbom = attach_sbom(place, stored, sbom)
    sign(place, attached_sbom, key)
    sign(place, stored, key)
    # The last of all: whoever finds the image by what it holds finds it whole.
    place.put_manifest(_pair_tag(image.version, image.base), stored)
    return place.reference(image.digest)


def find(place: Place, version: str, base: str, trusted: Iterable[VerifyKey]) -> Entry | None:
    """Return the image of a version on a base, if it was published whole and a trusted key has signed it."""
    stored = place.manifest(_pair_tag(version, base))
    annotations = stored.document.get("annotations") if stored is not None else None
    wanted = {VERSION_LABEL: version, _BASE: base}
    if stored is None or annotations != wanted:
        return None
    check_signature(place, stored.digest, trusted)
    return Entry(stored.digest, version, base)


def _pair_tag(version: str, base: str) -> str:
    """Return the tag under which a version on a base is found: a tag is too short for two digests."""
    return f"r-{digest_of(f'{version} {base}'.encode()).removeprefix('sha256:')}"


def _put_image(
    place: Place, stored: Stored, image: ReleaseImage, blobs: Path, mounts: Mapping[str, str]
) -> None:
    """Put layers, config and manifest; once more when a clean-up took a layer in between."""
    for last in (False, True):
        for layer in image.layers:
            blob = of_file(blob_path(blobs, layer.digest), layer.digest)
            place.put_blob(blob, mounts.get(layer.digest, ""))
        place.put_blob(of_bytes(blob_path(blobs, image.config).read_bytes()))
        try:
            place.put_manifest(f"i-{image.digest.removeprefix('sha256:')}", stored)
        except BuildError as error:
            if last or error.code != "registry_refused":
                raise
        else:
            return


def listed(place: Place) -> Iterator[Entry]:
    """Yield every image of a version that lies there."""
    for tag in place.tags():
        match = _TAG.fullmatch(tag)
        stored = place.manifest(tag) if match else None
        annotations = stored.document.get("annotations") if stored is not None else None
        if match and isinstance(annotations, dict):
            yield Entry(
                f"sha256:{match[1]}", str(annotations.get(VERSION_LABEL, "")), str(annotations.get(_BASE, ""))
            )


def remove(place: Place, doomed: Collection[str]) -> int:
    """Remove images with all that is attached to them, and blobs that no other image there needs.

    Returns how many images went. Raises BuildError `registry_keeps_all` where nothing can be deleted.
    """
    needed, freed, removed = set[str](), set[str](), 0
    for entry in listed(place) if doomed else ():
        if entry.digest not in doomed:
            for digest in _family(place, entry.digest):
                needed |= _parts(place.manifest(digest))
    for digest in sorted(doomed):
        # The image goes last: until then it is listed, and what a kill left is removed by the next try.
        *attachments, image = _family(place, digest)
        for one in attachments:
            freed |= _parts(place.manifest(one))
            place.delete_manifest(one)
        freed |= _parts(place.manifest(image))
        removed += place.delete_manifest(image)
    for digest in sorted(freed - needed):
        place.delete_blob(digest)
    return removed


def _family(place: Place, digest: str) -> list[str]:
    """Return the digests of what is attached to an image, signatures of it first, and its own at the end."""
    found: list[str] = []
    tagged = [stored.digest for tag in attachment_tags(digest) if (stored := place.manifest(tag))]
    for one in dict.fromkeys([*tagged, *(str(entry["digest"]) for entry in attached(place, digest))]):
        own = [stored.digest for tag in attachment_tags(one) if (stored := place.manifest(tag))]
        found += [*own, one]
    return [*dict.fromkeys(found), digest]


def _parts(stored: Stored | None) -> set[str]:
    """Return the digests that a manifest names; none of what cannot be read."""
    if stored is None:
        return set()
    document = stored.document
    found: list[Any] = [document.get("config"), *(document.get("layers") or ())]
    return {one["digest"] for one in found if isinstance(one, dict) and isinstance(one.get("digest"), str)}
