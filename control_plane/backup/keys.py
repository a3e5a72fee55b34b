"""The keys of a backup: sealed under a passphrase inside the archive, or in a file apart from it.

Whoever has the archive and the keys can open every secret, so the two never lie
together in the clear.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control_plane.errors import Invalid

__all__ = ["open_keys", "read_keys", "seal_keys", "write_keys"]

_CONTEXT = b"ingot backup keys 1"
# 128 MB and about a third of a second for each guess.
_COST, _BLOCK, _LANES = 1 << 17, 8, 1
_SHORTEST = 12


def read_keys(folder: Path) -> dict[str, str]:
    """Return name -> base64 of every key of a data folder."""
    return {path.stem: path.read_text().strip() for path in sorted(folder.glob("*.key"))}


def write_keys(folder: Path, keys: Mapping[str, str]) -> None:
    """Write the keys for their owner's eyes alone."""
    folder.mkdir(mode=0o700)
    for name, text in keys.items():
        if not name.isalnum():
            raise Invalid(f"“{name[:40]}” is no key's name.", hint="The file with the keys is damaged.")
        path = folder / f"{name}.key"
        path.touch(mode=0o600)
        path.write_text(f"{text}\n")


def seal_keys(keys: Mapping[str, str], passphrase: str) -> bytes:
    """Return the keys, readable only with the passphrase. Raises Invalid when it is too short."""
    if len(passphrase) < _SHORTEST:
        raise Invalid(
            f"The passphrase has fewer than {_SHORTEST} characters.",
            field="passphrase",
            hint="Use a sentence; whoever guesses it opens every secret of the backup.",
        )
    salt, nonce = os.urandom(16), os.urandom(12)
    sealed = AESGCM(_stretched(passphrase, salt)).encrypt(nonce, json.dumps(dict(keys)).encode(), _CONTEXT)
    parts = {"salt": salt, "nonce": nonce, "sealed": sealed}
    encoded = {name: base64.b64encode(part).decode() for name, part in parts.items()}
    return json.dumps({"v": 1, **encoded}).encode()


def open_keys(sealed: bytes, passphrase: str) -> dict[str, str]:
    """Return the keys. Raises Invalid for another passphrase or damage."""
    try:
        parts = json.loads(sealed)
        salt, nonce, content = (base64.b64decode(parts[name]) for name in ("salt", "nonce", "sealed"))
        plain = AESGCM(_stretched(passphrase, salt)).decrypt(nonce, content, _CONTEXT)
    except (InvalidTag, ValueError, KeyError, TypeError):
        raise Invalid(
            "The keys of this backup do not open.",
            field="passphrase",
            hint="Check the passphrase; without it the secrets of this backup are lost.",
        ) from None
    keys: dict[str, str] = json.loads(plain)
    return keys


def _stretched(passphrase: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        passphrase.encode(), salt=salt, n=_COST, r=_BLOCK, p=_LANES, maxmem=256 << 20, dklen=32
    )
