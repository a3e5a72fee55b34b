"""Whose signatures count in this cluster: the ConfigMap `ingot-trust`, read anew at each look.

Each entry is one key, named as people like, with a JSON value:
`{"key": "<base64 of 32 bytes>", "namespaces": ["*"], "approvals": 1, "until": "2027-01-01T00:00:00Z"}`.
All but the key may be left out. `"hop"` lists the public keys of the gateway that leads to these
namespaces: where there is one, pods take no call without a token of it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from control_plane.domain.attestations import key_id

__all__ = ["TrustedKey", "hop_keys", "read_trust"]


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key of a release service."""

    name: str
    # Ed25519, 32 bytes.
    public: bytes
    # Patterns of namespaces that it may speak for.
    namespaces: tuple[str, ...] = ("*",)
    # How many approvals its releases need here.
    approvals: int = 0
    until: datetime | None = None
    # Public keys of its gateway, base64 of 32 bytes each.
    hop: tuple[str, ...] = ()

    def speaks_for(self, namespace: str, now: datetime) -> bool:
        """Say whether the key counts for this namespace at this time."""
        in_time = self.until is None or now < self.until
        return in_time and self.covers(namespace)

    def covers(self, namespace: str) -> bool:
        """Say whether the namespace is one of its own, be it in time or not."""
        return any(fnmatchcase(namespace, pattern) for pattern in self.namespaces)


def hop_keys(keys: Iterable[TrustedKey], namespace: str) -> tuple[str, ...]:
    """Return `ID:BASE64` of the gateways whose tokens let calls in; none: no token is asked for.

    An entry that is out of time counts too: its end must not open what it had closed.
    """
    listed = {text for one in keys if one.covers(namespace) for text in one.hop}
    return tuple(sorted(f"{key_id(base64.b64decode(text))}:{text}" for text in listed))


def read_trust(config_map: Mapping[str, Any] | None) -> tuple[tuple[TrustedKey, ...], tuple[str, ...]]:
    """Return the keys, and what is wrong with entries that do not count."""
    keys, faults = [], []
    for name, text in sorted(((config_map or {}).get("data") or {}).items()):
        try:
            keys.append(_key(name, text))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            faults.append(f"{name}: {error}")
    return tuple(keys), tuple(faults)


def _key(name: str, text: str) -> TrustedKey:
    entry = json.loads(text)
    unknown = entry.keys() - {"key", "namespaces", "approvals", "until", "hop"}
    if unknown:
        # A misspelt limit must not become no limit.
        raise ValueError(f"“{sorted(unknown)[0]}” is unknown")
    public = base64.b64decode(entry["key"], validate=True)
    namespaces = entry.get("namespaces", ["*"])
    approvals = entry.get("approvals", 0)
    if len(public) != 32 or not isinstance(namespaces, list) or type(approvals) is not int:
        raise ValueError("it needs a key of 32 bytes, a list of namespaces and a whole number of approvals")
    until = datetime.fromisoformat(entry["until"]) if "until" in entry else None
    if until is not None and until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    hop = entry.get("hop", [])
    if not isinstance(hop, list) or any(len(base64.b64decode(one, validate=True)) != 32 for one in hop):
        raise ValueError("its hop keys are a list of base64 texts of 32 bytes each")
    return TrustedKey(name, public, tuple(str(one) for one in namespaces), approvals, until, tuple(hop))
