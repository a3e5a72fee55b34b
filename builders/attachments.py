"""What belongs to an image without being in it: signatures and bills of materials.

Signatures lie where cosign looks, under the tag `sha256-<hex>.sig`. All of
them name the image as their subject; a registry that keeps no list of
referrers gets the list of the OCI specification's fall-back, a tag `sha256-<hex>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from builders.errors import BuildError
from builders.oci import CONFIG, EMPTY, INDEX, MANIFEST, canonical, descriptor
from builders.place import Place
from builders.registry.client import Stored
from builders.registry.sources import of_bytes
from builders.signature import (
    ANNOTATION,
    PAYLOAD_TYPE,
    SigningKey,
    VerifyKey,
    is_signed,
    payload_for,
    signature_of,
)

__all__ = ["SBOM_TYPE", "attach_sbom", "attached", "attachment_tags", "check_signature", "sbom_of", "sign"]

SBOM_TYPE = "application/vnd.cyclonedx+json"
_SIGNATURE_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
_PAYLOAD_BYTES = 64 << 10
# Keys that ever signed one image, and then some.
_SIGNATURES = 32


def sign(place: Place, subject: Stored, key: SigningKey) -> str:
    """Sign a manifest that lies there; returns the digest of the signature's own manifest.

    Signatures of other keys stay, so that a new key can come before the old one goes.
    """
    payload = payload_for(subject.digest, place.name)
    own = {
        **descriptor(PAYLOAD_TYPE, payload),
        "annotations": {ANNOTATION: key.sign(payload)},
    }
    layers = [own, *_others(place, subject.digest, own)]
    config = canonical(
        {
            "architecture": "",
            "config": {},
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        }
    )
    place.put_blob(of_bytes(payload))
    place.put_blob(of_bytes(config))
    stored = _artifact(subject, _SIGNATURE_TYPE, descriptor(CONFIG, config), layers)
    _put(place, subject, stored, f"{_fallback_tag(subject.digest)}.sig")
    return stored.digest


def attach_sbom(place: Place, subject: Stored, sbom: bytes) -> Stored:
    """Attach a CycloneDX document to a manifest that lies there; returns what was attached."""
    empty = b"{}"
    place.put_blob(of_bytes(empty))
    place.put_blob(of_bytes(sbom))
    stored = _artifact(subject, SBOM_TYPE, descriptor(EMPTY, empty), [descriptor(SBOM_TYPE, sbom)])
    _put(place, subject, stored, f"{_fallback_tag(subject.digest)}.cdx")
    return stored


def attached(place: Place, digest: str) -> list[dict[str, Any]]:
    """Return descriptors of all that is attached to a manifest, by the place's list or the fall-back's."""
    listed = place.referrers(digest)
    if listed is not None:
        return listed
    return _fallback(place, digest)


def attachment_tags(digest: str) -> tuple[str, ...]:
    """Return every tag that an image's attachments may have."""
    tag = _fallback_tag(digest)
    return (f"{tag}.sig", f"{tag}.cdx", tag)


def check_signature(place: Place, digest: str, trusted: Iterable[VerifyKey]) -> None:
    """Refuse a manifest that no trusted key has signed."""
    pairs = ((signature_of(layer), payload) for layer, payload in _signatures(place, digest))
    if not is_signed(pairs, digest, trusted):
        raise BuildError(
            "signature_invalid",
            f"No trusted key has signed {place.reference(digest)}.",
            hint="Publish the version again; if it stays so, compare the signing key with the trusted ones.",
        )


def _others(place: Place, digest: str, own: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for layer, _ in _signatures(place, digest):
        if layer["annotations"] != own["annotations"]:
            yield layer


def _signatures(place: Place, digest: str) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield (layer, payload) of each signature that can be read; what cannot counts as none."""
    stored = place.manifest(f"{_fallback_tag(digest)}.sig")
    layers = stored.document.get("layers") if stored is not None else None
    for layer in layers[:_SIGNATURES] if isinstance(layers, list) else ():
        if not signature_of(layer) or layer.get("mediaType") != PAYLOAD_TYPE:
            continue
        try:
            yield layer, place.blob(str(layer.get("digest")), _PAYLOAD_BYTES)
        except (FileNotFoundError, ValueError):
            continue


def _artifact(subject: Stored, kind: str, config: dict[str, Any], layers: list[dict[str, Any]]) -> Stored:
    content = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": config,
            "layers": layers,
            "subject": descriptor(subject.media_type, subject.content),
        }
    )
    return Stored(MANIFEST, content)


def _put(place: Place, subject: Stored, stored: Stored, tag: str) -> None:
    if not _replace(place, tag, stored):
        _list_in_fallback(place, subject.digest, stored)


def _replace(place: Place, tag: str, stored: Stored) -> bool:
    """Put a manifest under a tag and remove the old one; says whether the place keeps referrers."""
    old = place.manifest(tag)
    kept = place.put_manifest(tag, stored)
    if old is not None and old.digest != stored.digest:
        try:
            place.delete_manifest(old.digest)
        except BuildError as error:
            # Left behind without a name, where nothing can be removed: it harms nobody.
            if error.code not in ("registry_keeps_all", "registry_refused"):
                raise
    return kept


def _list_in_fallback(place: Place, digest: str, stored: Stored) -> None:
    kind = stored.document["artifactType"]
    entry = descriptor(MANIFEST, stored.content, artifactType=kind)
    # One of each kind is enough: a newer one of the same kind takes the place of the older.
    kept = [one for one in _fallback(place, digest) if one.get("artifactType") != kind]
    entries = sorted([*kept, entry], key=lambda one: str(one["digest"]))
    index = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    _replace(place, _fallback_tag(digest), Stored(INDEX, index))


def _fallback(place: Place, digest: str) -> list[dict[str, Any]]:
    stored = place.manifest(_fallback_tag(digest))
    if stored is None:
        return []
    try:
        found = json.loads(stored.content)["manifests"]
        return [one for one in found if isinstance(one["digest"], str)]
    except (ValueError, KeyError, TypeError):
        return []


def _fallback_tag(digest: str) -> str:
    return digest.replace(":", "-")


def sbom_of(place: Place, digest: str, limit: int = 32 << 20) -> bytes:
    """Return the bill of materials that is attached to a manifest. Raises FileNotFoundError."""
    for entry in attached(place, digest):
        if entry.get("artifactType") == SBOM_TYPE:
            stored = place.manifest(entry["digest"])
            layers = stored.document.get("layers") if stored is not None else None
            if layers:
                return place.blob(str(layers[0]["digest"]), limit)
    raise FileNotFoundError(f"no bill of materials is attached to {digest}")
