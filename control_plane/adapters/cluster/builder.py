"""The Builder port of a cluster: builds as on one machine, and keeps what was built in the registry.

Runs on a scratch folder that may be lost at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.domain.functions import Declaration
from control_plane.ports import Builder, Built, Images, Tried

__all__ = ["KeepingBuilder"]


@dataclass(frozen=True, slots=True)
class KeepingBuilder:
    """A builder whose versions survive the machine that built them."""

    builder: Builder
    images: Images

    def declaration(self, files: Mapping[str, bytes]) -> Declaration:
        """Read what the author declares."""
        return self.builder.declaration(files)

    def lock(self, files: Mapping[str, bytes], previous: str) -> str:
        """Resolve the dependencies; a previous lock that still fits is returned unchanged."""
        return self.builder.lock(files, previous)

    def packages(self, lock: str) -> Mapping[str, str]:
        """Return name -> version of what a lock pins."""
        return self.builder.packages(lock)

    def build(self, files: Mapping[str, bytes], lock: str) -> Built:
        """Make manifest, layers, image and SBOM, and keep them in the registry."""
        built = self.builder.build(files, lock)
        self.images.keep(built.image)
        return built

    def try_out(self, files: Mapping[str, bytes], lock: str) -> Tried | None:
        """Make what running the draft needs; it changes again soon, so it is kept nowhere."""
        return self.builder.try_out(files, lock)

    def adopt(self, lock: str, digest: str, layer: bytes) -> None:
        """Take the dependencies' layer of a lock; the version's image with it is kept when it is built."""
        self.builder.adopt(lock, digest, layer)

    def base(self, runtime: str) -> str:
        """Return the digest of the base image that releases for a runtime stand on."""
        return self.images.base(runtime)
