"""The words of OCI images: media types, descriptors, and the one form in which documents are written.

Pure. What an image is made of may not be known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

__all__ = ["CONFIG", "EMPTY", "INDEX", "LAYER", "MANIFEST", "canonical", "descriptor"]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return a document's bytes, the same on every machine."""
    return rfc8785.dumps(dict(document))


def descriptor(media_type: str, content: bytes, **more: Any) -> dict[str, Any]:
    """Return what names a content in a manifest."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"mediaType": media_type, "digest": digest, "size": len(content), **more}
