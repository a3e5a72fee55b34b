"""Names of what lies in a registry: repositories, digests, tags; all of them checked before they enter a URL.

Pure. What a registry answers may not be known here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

__all__ = ["Repository", "check_digest", "check_tag", "digest_of", "parse_reference"]

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
# A name or an address, with a port or without.
_ADDRESS = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9a-fA-F:.]{2,45}\])(?::[0-9]{1,5})?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Repository:
    """Where images of one kind lie: `registry/name`."""

    # host or host:port
    registry: str
    name: str

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.registry):
            raise ValueError(f"not a registry's address: {self.registry[:80]!r}")
        if not _NAME.fullmatch(self.name) or len(self.name) > 200:
            raise ValueError(f"not a repository's name: {self.name[:80]!r}")

    def at(self, digest: str) -> str:
        """Return the reference by which an image of this repository is deployed."""
        return f"{self.registry}/{self.name}@{check_digest(digest)}"

    @property
    def path(self) -> str:
        """Return the beginning of every URL path about it."""
        return f"/v2/{self.name}"


def parse_reference(text: str) -> tuple[Repository, str]:
    """Return (repository, digest) of `registry/name@sha256:…`. Raises ValueError."""
    place, at, digest = text.partition("@")
    registry, slash, name = place.partition("/")
    if not at or not slash:
        raise ValueError(f"not a reference by digest: {text[:120]!r}")
    return Repository(registry, name), check_digest(digest)


def check_digest(digest: str) -> str:
    """Return the digest. Raises ValueError when it is none of SHA-256."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"not a digest: {digest[:80]!r}")
    return digest


def check_tag(tag: str) -> str:
    """Return the tag. Raises ValueError when it is none."""
    if not _TAG.fullmatch(tag):
        raise ValueError(f"not a tag: {tag[:80]!r}")
    return tag


def digest_of(content: bytes) -> str:
    """Return the digest of a content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
