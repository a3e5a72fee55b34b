"""Images of one program each, pushed to the local registry.

An image is the program and nothing else: no shell, no files to scan, a user
without a name. Layers are plain tars, so nobody compresses what never leaves
the machine.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

from builders.layers import Entry, write_layer
from builders.registry.access import Access
from builders.registry.client import Registry, Stored
from builders.registry.conversation import Conversation
from builders.registry.names import Repository, digest_of
from builders.registry.sources import Blob, of_bytes
from knative.bootstrap.configs import REGISTRY_USER
from knative.bootstrap.plan import REGISTRY

__all__ = ["PROGRAM_FOLDER", "image_documents", "open_registry", "program_reference", "push_program"]

# Where Knative's manifests and probes expect a program.
PROGRAM_FOLDER = "ko-app"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def open_registry(password: str) -> Registry:
    """Return the local registry as its one known caller."""
    access = Access(REGISTRY, plain_http=True, username=REGISTRY_USER, password=password)
    return Registry(Conversation(access))


def image_documents(name: str, layer_digest: str, layer_size: int) -> tuple[bytes, bytes]:
    """Return config and manifest of a program's image. Pure."""
    config = _document(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{PROGRAM_FOLDER}/{name}"], "User": "65532:65532"},
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        }
    )
    manifest = _document(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": _LAYER, "digest": layer_digest, "size": layer_size}],
        }
    )
    return config, manifest


def program_reference(repository_name: str, program: Path) -> str:
    """Return the reference that `push_program` would, without pushing."""
    layer = _layer(program)
    _, manifest = image_documents(program.name, layer.digest, layer.size)
    return Repository(REGISTRY, repository_name).at(digest_of(manifest))


def push_program(registry: Registry, repository_name: str, program: Path) -> str:
    """Push a program as an image; returns the reference to deploy, by digest."""
    repository = registry.repository(repository_name)
    layer = _layer(program)
    config, manifest = image_documents(program.name, layer.digest, layer.size)
    stored = Stored(_MANIFEST, manifest)
    if not registry.has_manifest(repository, stored.digest):
        registry.put_blob(repository, layer)
        registry.put_blob(repository, of_bytes(config))
        registry.put_manifest(repository, stored.digest, stored)
        # A tag too, for people who look and for registries that forget what has none.
        registry.put_manifest(repository, stored.digest.removeprefix("sha256:")[:12], stored)
    return repository.at(stored.digest)


def _layer(program: Path) -> Blob:
    content = io.BytesIO()
    write_layer({program.name: Entry(program.name, program, executable=True)}, PROGRAM_FOLDER, content)
    data = content.getvalue()
    return Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), data)


def _document(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
