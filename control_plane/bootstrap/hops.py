"""Who makes the gateway's tokens for pods: the hop key, where functions run in a cluster."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping

from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.bootstrap.parts import key
from control_plane.domain.attestations import key_id
from control_plane.domain.hop_tokens import HopTokens
from control_plane.settings import Settings

__all__ = ["make_hops"]


def make_hops(settings: Settings, keys: Mapping[str, str]) -> HopTokens | None:
    """Return the maker of tokens; None on one machine, where instances have sockets of their own."""
    if not settings.gateway.ingress:
        return None
    signer = Ed25519Signer(key(keys, "hop"))
    name = key_id(base64.b64decode(signer.public_key()))

    def sign(message: bytes) -> str:
        return signer.sign(message).translate(str.maketrans("+/", "-_")).rstrip("=")

    return HopTokens(name, sign, lambda: int(time.time()))
