"""Images in a dict: nothing is composed, but what is published is found, replaced and removed alike."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from control_plane.domain.canonical import canonical_json
from control_plane.errors import Invalid, Unavailable
from control_plane.ports import StoredImage, VersionImage

__all__ = ["FakeImages"]


class FakeImages:
    """Keeps what was asked of it."""

    def __init__(self, runtime: str, *, deletes: bool = True) -> None:
        self._runtime, self._deletes = runtime, deletes
        self._bases = [_digest(runtime)]
        self.kept: list[str] = []
        # How often it was asked for one image.
        self.asked = 0
        self.images: dict[str, dict[str, StoredImage]] = {}

    def renew_base(self) -> None:
        """Let new releases stand on another base image."""
        self._bases.append(_digest(f"{self._runtime} {len(self._bases)}"))

    def base(self, runtime: str) -> str:
        if runtime != self._runtime:
            raise Invalid(f"There is no base image for {runtime}.")
        return self._bases[-1]

    def keep(self, image: str) -> None:
        self.kept.append(image)

    def publish(self, image: VersionImage, base: str) -> StoredImage:
        if base not in self._bases:
            raise Invalid("There is no such base image.")
        digest = _digest(
            canonical_json({"manifest": image.manifest, "base": base, "layers": dict(image.layers)})
        )
        reference = f"registry.example/functions/{image.organization}@{digest}"
        stored = StoredImage(reference, digest, _digest(image.manifest), base)
        self.images.setdefault(image.organization, {})[digest] = stored
        return stored

    def find(self, organization: str, version: str, base: str) -> StoredImage | None:
        self.asked += 1
        held = self.images.get(organization, {}).values()
        return next((one for one in held if (one.version, one.base) == (version, base)), None)

    def stored(self, organization: str) -> tuple[StoredImage, ...]:
        return tuple(self.images.get(organization, {}).values())

    def remove(self, organization: str, digests: Collection[str]) -> int:
        if digests and not self._deletes:
            raise Unavailable("The registry does not delete.")
        held = self.images.get(organization, {})
        return sum(held.pop(digest, None) is not None for digest in set(digests))


def _digest(text: str | bytes) -> str:
    content = text.encode() if isinstance(text, str) else text
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
