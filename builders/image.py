"""Writes an OCI image of a version into the blobs folder, which is an OCI layout.

The layout's own `blobs/` is a link to the folder itself, so that content lies
at `<blobs>/sha256/<hex>` for everyone. Nothing in config or manifest tells
when or where it was made. The base image joins at release, not here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rfc8785

from builders.layers import ROOTS
from builders.platforms import PLATFORMS
from builders.storage import locked, put_blob, replace_file

__all__ = ["ImageLayer", "put_image"]

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_INDEX = "application/vnd.oci.image.index.v1+json"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """One layer: its role, the digest of its tar (also its diff id), its size."""

    role: str
    digest: str
    size: int


def put_image(blobs: Path, manifest: bytes, platform: str, layers: Sequence[ImageLayer]) -> str:
    """Store config and manifest of a version's image, list it in the index, return its digest."""
    version = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    config = rfc8785.dumps(_config(version, json.loads(manifest), platform, layers))
    content = rfc8785.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": put_blob(blobs, config), "size": len(config)},
            "layers": [
                {
                    "mediaType": _LAYER,
                    "digest": layer.digest,
                    "size": layer.size,
                    "annotations": {"dev.ingot.layer.role": layer.role},
                }
                for layer in layers
            ],
            "annotations": {"dev.ingot.version.digest": version},
        }
    )
    digest = put_blob(blobs, content)
    _list_in_index(blobs, _index_entry(digest, len(content), version, platform))
    return digest


def _config(
    version: str, manifest: dict[str, Any], platform: str, layers: Sequence[ImageLayer]
) -> dict[str, Any]:
    roots = [f"/{ROOTS[role]}" for role in ("function", "deps")]
    return {
        "architecture": PLATFORMS[platform].oci_architecture,
        "os": "linux",
        "config": {
            "Env": [f"PYTHONPATH={':'.join(roots)}", "PYTHONDONTWRITEBYTECODE=1"],
            "User": "65532:65532",
            "WorkingDir": roots[0],
            "Labels": {
                "dev.ingot.version.digest": version,
                "dev.ingot.runtime": manifest["runtime"],
                "dev.ingot.kind": manifest["kind"],
                "dev.ingot.handler": manifest["handler"],
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created_by": f"ingot {layer.role} layer"} for layer in layers],
    }


def _index_entry(digest: str, size: int, version: str, platform: str) -> dict[str, Any]:
    return {
        "mediaType": _MANIFEST,
        "digest": digest,
        "size": size,
        "platform": {"architecture": PLATFORMS[platform].oci_architecture, "os": "linux"},
        "annotations": {"org.opencontainers.image.ref.name": f"{version.removeprefix('sha256:')}-{platform}"},
    }


def _list_in_index(blobs: Path, entry: dict[str, Any]) -> None:
    """Add an entry to index.json. The index only helps tools to find images: it may be made anew."""
    path = blobs / "index.json"
    with locked(blobs / ".index.lock"):
        if not (blobs / "blobs").is_symlink():
            with contextlib.suppress(FileExistsError):
                (blobs / "blobs").symlink_to(".")
        if not (blobs / "oci-layout").exists():
            replace_file(blobs / "oci-layout", _LAYOUT)
        entries = _known_entries(path)
        if entry in entries:
            return
        entries.append(entry)
        entries.sort(key=lambda item: str(item["digest"]))
        replace_file(path, rfc8785.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries}))


def _known_entries(path: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(path.read_bytes())["manifests"]
        return [entry for entry in entries if isinstance(entry["digest"], str)]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []
