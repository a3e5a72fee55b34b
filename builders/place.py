"""A place that holds images: one repository of a registry, or a folder in OCI layout. One protocol for both.

What is put there, and why, may not be known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol

from builders.registry.client import Registry, Stored
from builders.registry.names import Repository
from builders.registry.sources import Blob

__all__ = ["Place", "RegistryPlace"]


class Place(Protocol):
    """Blobs and manifests by digest, manifests by tag as well. Every content is checked when it is read."""

    @property
    def name(self) -> str:
        """By what name people know the place."""
        ...

    def put_blob(self, blob: Blob, mount_from: str = "") -> str:
        """Bring a blob there; returns `present`, `mounted` or `sent`."""
        ...

    def blob(self, digest: str, limit: int) -> bytes:
        """Return a small blob. Raises FileNotFoundError."""
        ...

    def blob_to(self, digest: str, size: int, stream: IO[bytes]) -> None:
        """Write a blob to a stream. Raises FileNotFoundError."""
        ...

    def manifest(self, name: str) -> Stored | None:
        """Return the manifest under a digest or tag; None when there is none."""
        ...

    def put_manifest(self, name: str, stored: Stored) -> bool:
        """Store a manifest under its digest or a tag; says whether the place keeps referrers itself."""
        ...

    def tags(self) -> Iterator[str]:
        """Yield every tag."""
        ...

    def delete_manifest(self, name: str) -> bool:
        """Delete a manifest with its tags, or a tag alone; False when it is gone already."""
        ...

    def delete_blob(self, digest: str) -> bool:
        """Delete a blob; False when it is gone already."""
        ...

    def referrers(self, digest: str) -> list[dict[str, Any]] | None:
        """Return descriptors of what refers to a manifest; None when the place keeps no such list."""
        ...

    def reference(self, digest: str) -> str:
        """Return by what name an image of this place is deployed."""
        ...


@dataclass(frozen=True, slots=True)
class RegistryPlace:
    """One repository of a registry."""

    registry: Registry
    repository: Repository

    @property
    def name(self) -> str:
        """Return `registry/name`."""
        return f"{self.repository.registry}/{self.repository.name}"

    def put_blob(self, blob: Blob, mount_from: str = "") -> str:
        """Bring a blob there; returns `present`, `mounted` or `sent`."""
        return self.registry.put_blob(self.repository, blob, mount_from)

    def blob(self, digest: str, limit: int) -> bytes:
        """Return a small blob. Raises FileNotFoundError."""
        return self.registry.blob(self.repository, digest, limit)

    def blob_to(self, digest: str, size: int, stream: IO[bytes]) -> None:
        """Write a blob to a stream. Raises FileNotFoundError."""
        self.registry.blob_to(self.repository, digest, size, stream)

    def manifest(self, name: str) -> Stored | None:
        """Return the manifest under a digest or tag; None when there is none."""
        return self.registry.manifest(self.repository, name)

    def put_manifest(self, name: str, stored: Stored) -> bool:
        """Store a manifest under its digest or a tag; says whether the registry keeps referrers itself."""
        return self.registry.put_manifest(self.repository, name, stored)

    def tags(self) -> Iterator[str]:
        """Yield every tag."""
        return self.registry.tags(self.repository)

    def delete_manifest(self, name: str) -> bool:
        """Delete a manifest with its tags, or a tag alone; False when it is gone already."""
        return self.registry.delete_manifest(self.repository, name)

    def delete_blob(self, digest: str) -> bool:
        """Delete a blob; False when it is gone already."""
        return self.registry.delete_blob(self.repository, digest)

    def referrers(self, digest: str) -> list[dict[str, Any]] | None:
        """Return descriptors of what refers to a manifest; None when the registry keeps no such list."""
        return self.registry.referrers(self.repository, digest)

    def reference(self, digest: str) -> str:
        """Return `registry/name@sha256:…`."""
        return self.repository.at(digest)
