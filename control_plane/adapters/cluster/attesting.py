"""Signs statements with the release service's key. What they say is in `domain.attestations`."""

from __future__ import annotations

import base64
from typing import Any

from control_plane.domain.attestations import (
    ReleaseStatement,
    TakedownStatement,
    enveloped,
    key_id,
    payload_of,
)
from control_plane.ports import Signer

__all__ = ["signed", "trust_entry"]


def signed(statement: ReleaseStatement | TakedownStatement, signer: Signer) -> dict[str, Any]:
    """Return the statement in an envelope that this key has signed."""
    kind, payload = payload_of(statement)
    return enveloped(kind, payload, signer.public_key(), signer.sign)


def trust_entry(signer: Signer) -> tuple[str, dict[str, Any]]:
    """Return name and value by which a cluster's `ingot-trust` trusts this key everywhere."""
    public = signer.public_key()
    return f"release-{key_id(base64.b64decode(public))}", {"key": public, "namespaces": ["*"]}
