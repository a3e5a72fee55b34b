"""The Sealer port: AES-256-GCM, a fresh data key for each value, wrapped by the master key.

The wrapped data key travels inside the sealed text, bound to its tenant, so
that the function host opens values with the master key alone and no database.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["AesSealer"]

_NONCE_BYTES = 12


class AesSealer:
    """Seals and opens secret values with one 32-byte master key."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != 32:
            raise ValueError("the master key has 32 bytes")
        self._master = AESGCM(master_key)
        self._key_id = hashlib.sha256(b"ingot master key\0" + master_key).hexdigest()[:16]

    def seal(self, tenant: str, plain: bytes) -> str:
        """Return base64 text that names its key; bound to the tenant's id."""
        data_key = AESGCM.generate_key(256)
        sealed = {
            "v": 1,
            "key": self._key_id,
            "wrapped": _encrypt(self._master, data_key, f"key:{tenant}"),
            "value": _encrypt(AESGCM(data_key), plain, f"value:{tenant}"),
        }
        return base64.b64encode(json.dumps(sealed, sort_keys=True).encode()).decode()

    def open(self, tenant: str, sealed: str) -> bytes:
        """Return the plain value. Raises ValueError if it is not this tenant's or was changed."""
        try:
            parts = json.loads(base64.b64decode(sealed, validate=True))
            if parts["v"] != 1 or parts["key"] != self._key_id:
                raise ValueError("it was sealed with another master key")
            data_key = _decrypt(self._master, parts["wrapped"], f"key:{tenant}")
            return _decrypt(AESGCM(data_key), parts["value"], f"value:{tenant}")
        except InvalidTag:
            raise ValueError("the sealed value is another tenant's or was changed") from None
        except (KeyError, TypeError, binascii.Error, UnicodeDecodeError, json.JSONDecodeError):
            raise ValueError("this is no sealed value") from None


def _encrypt(cipher: AESGCM, plain: bytes, context: str) -> str:
    nonce = os.urandom(_NONCE_BYTES)
    return base64.b64encode(nonce + cipher.encrypt(nonce, plain, context.encode())).decode()


def _decrypt(cipher: AESGCM, text: str, context: str) -> bytes:
    content = base64.b64decode(text, validate=True)
    return cipher.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], context.encode())
