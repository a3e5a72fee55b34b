"""What a cluster must hold to trust this installation's releases: the public half of its release key."""

from __future__ import annotations

import base64
import json
from typing import Any

from control_plane.adapters.cluster.attesting import trust_entry
from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.errors import NotFound
from control_plane.settings import Settings

__all__ = ["trust_list"]


def trust_list(
    settings: Settings, namespaces: tuple[str, ...], approvals: int, namespace: str
) -> dict[str, Any]:
    """Return the ConfigMap with one entry; applied on the server, it joins the entries that are there."""
    path = settings.data / "keys" / "release.key"
    if not path.exists():
        raise NotFound(f"There is no {path}.", hint="The first `ingot up` on this folder makes the keys.")
    name, entry = trust_entry(Ed25519Signer(base64.b64decode(path.read_text())))
    entry |= {"namespaces": list(namespaces or ("*",)), "approvals": approvals}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "ingot-trust", "namespace": namespace},
        "data": {name: json.dumps(entry, sort_keys=True)},
    }
