"""RFC 8785 canonical JSON for what Ingot hashes, and the digest of it.

Numbers are integers within 53 bits only: floats would tie a digest to one
language's number printing, so they are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["canonical_json", "digest_of"]

_LARGEST: Final = (1 << 53) - 1


def canonical_json(value: Any) -> bytes:
    """Return the one byte string that stands for this value. Raises ValueError."""
    return _text(value).encode()


def digest_of(value: Any) -> str:
    """Return `sha256:` and the hash of the canonical form."""
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > _LARGEST:
            raise ValueError(f"{value} does not fit into 53 bits")
        return str(int(value))
    if isinstance(value, Mapping):
        # RFC 8785 sorts by UTF-16 code units, which differs from code points above U+FFFF.
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{_text(name)}:{_text(value[name])}" for name in names) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(item) for item in value) + "]"
    raise ValueError(f"{type(value).__name__} has no canonical form")
