"""Checks the signatures of envelopes; the arithmetic alone. Whose keys count is decided by whoever asks."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from control_plane.domain.attestations import Envelope, frame

__all__ = ["signed_by"]


def signed_by(envelope: Envelope, public: bytes) -> bool:
    """Say whether one of the envelope's signatures was made with this Ed25519 key."""
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
    except ValueError:
        return False
    covered = frame(envelope.kind, envelope.payload)
    return any(_verifies(key, covered, signature) for _, signature in envelope.signatures)


def _verifies(key: Ed25519PublicKey, covered: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, covered)
    except InvalidSignature:
        return False
    return True
