"""Which images of versions are needed: what is in traffic, what may come back, what may be released now.

Pure. When an unneeded image goes is decided in `domain.retention`, as for all content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Held", "unneeded_images"]


@dataclass(frozen=True, slots=True)
class Held:
    """An image that is held somewhere."""

    digest: str
    # Digests of the version in it and of the base image under it.
    version: str
    base: str


def unneeded_images(
    held: Iterable[Held],
    in_use: frozenset[tuple[str, str]],
    releasable: Mapping[str, str],
    bases: Mapping[str, str],
) -> tuple[str, ...]:
    """Return the digests of images that nothing needs.

    `in_use` are the (version, base) pairs of releases that count, `releasable`
    says which runtime each version that may be released has, and `bases` on
    which base image a runtime's new releases stand. A runtime without one has
    all images of its versions kept: nothing could take their place.
    """

    def needed(image: Held) -> bool:
        if (image.version, image.base) in in_use:
            return True
        runtime = releasable.get(image.version)
        return runtime is not None and bases.get(runtime, image.base) == image.base

    return tuple(image.digest for image in held if not needed(image))
