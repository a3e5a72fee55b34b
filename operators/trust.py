"""Whose signatures count in this cluster: the ConfigMap `ingot-trust`, read anew at each look.

Each entry is one key, named as people like, with a JSON value:
`{"key": "<base64 of 32 bytes>", "namespaces": ["*"], "approvals": 1, "until": "2027-01-01T00:00:00Z"}`.
All but the key may be left out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["TrustedKey", "read_trust"]


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

    def speaks_for(self, namespace: str, now: datetime) -> bool:
        """Say whether the key counts for this namespace at this time."""
        in_time = self.until is None or now < self.until
        return in_time and any(fnmatchcase(namespace, pattern) for pattern in self.namespaces)


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
    unknown = entry.keys() - {"key", "namespaces", "approvals", "until"}
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
    return TrustedKey(name, public, tuple(str(one) for one in namespaces), approvals, until)
