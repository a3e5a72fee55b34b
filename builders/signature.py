"""Signatures of images in cosign's format: a small payload about a digest, signed with ECDSA on P-256.

The same key signs the same digest with the same bytes, so that repeating is
free. Where signatures lie is for `attachments`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from builders.oci import canonical

__all__ = [
    "ANNOTATION", "PAYLOAD_TYPE", "SigningKey", "VerifyKey", "is_signed", "payload_for", "signature_of",
    "signed_digest",
]  # fmt: skip

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
_KIND = "cosign container image signature"


def payload_for(digest: str, name: str) -> bytes:
    """Return what is signed: the digest of a manifest, and for people the name that it had."""
    return canonical(
        {
            "critical": {
                "identity": {"docker-reference": name},
                "image": {"docker-manifest-digest": digest},
                "type": _KIND,
            },
            "optional": None,
        }
    )


def signed_digest(payload: bytes) -> str:
    """Return the digest that a payload is about; empty when it is no payload."""
    try:
        critical = json.loads(payload)["critical"]
        return str(critical["image"]["docker-manifest-digest"]) if critical["type"] == _KIND else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A key whose signatures are trusted."""

    key: ec.EllipticCurvePublicKey

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Read a public key. Raises ValueError."""
        try:
            key = serialization.load_pem_public_key(pem)
        except UnsupportedAlgorithm as error:
            raise ValueError("not a key on the curve P-256") from error
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key)
        raise ValueError("not a key on the curve P-256")

    @property
    def pem(self) -> bytes:
        """Return the key as others read it."""
        return self.key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def made(self, signature: str, payload: bytes) -> bool:
        """Say whether this key made the signature, which is base64 text."""
        try:
            self.key.verify(base64.b64decode(signature, validate=True), payload, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that signs what is published."""

    key: ec.EllipticCurvePrivateKey

    @classmethod
    def generate(cls) -> Self:
        """Make a new one."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Read a private key that has no password. Raises ValueError."""
        try:
            key = serialization.load_pem_private_key(pem, None)
        except (TypeError, UnsupportedAlgorithm) as error:
            raise ValueError("not a key without a password on the curve P-256") from error
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key)
        raise ValueError("not a key on the curve P-256")

    @property
    def pem(self) -> bytes:
        """Return the key itself; secret."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def public(self) -> VerifyKey:
        """Return what others verify with."""
        return VerifyKey(self.key.public_key())

    def sign(self, payload: bytes) -> str:
        """Return the signature as base64 text, the same each time."""
        made = self.key.sign(payload, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return base64.b64encode(made).decode()


def is_signed(signatures: Iterable[tuple[str, bytes]], digest: str, trusted: Iterable[VerifyKey]) -> bool:
    """Say whether one of the (signature, payload) pairs is about the digest and by a trusted key."""
    keys = tuple(trusted)
    return any(
        signed_digest(payload) == digest and any(key.made(signature, payload) for key in keys)
        for signature, payload in signatures
    )


def signature_of(layer: Any) -> str:
    """Return the signature in a layer's descriptor; empty when it has none."""
    annotations = layer.get("annotations") if isinstance(layer, dict) else None
    found = annotations.get(ANNOTATION) if isinstance(annotations, dict) else None
    return found if isinstance(found, str) else ""
