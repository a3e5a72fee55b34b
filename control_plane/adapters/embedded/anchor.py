"""The Signer and Anchor ports: Ed25519 from a key file, and a file of lines outside the database."""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["Ed25519Signer", "FileAnchor"]


class Ed25519Signer:
    """Signs with one 32-byte private key."""

    def __init__(self, private_key: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(private_key)

    def sign(self, message: bytes) -> str:
        """Return the signature as base64 text."""
        return base64.b64encode(self._private.sign(message)).decode()

    def public_key(self) -> str:
        """Return the public key as base64 text."""
        return base64.b64encode(self._private.public_key().public_bytes_raw()).decode()

    def verify(self, message: bytes, signature: str) -> bool:
        """Say whether this key made the signature."""
        try:
            self._private.public_key().verify(base64.b64decode(signature, validate=True), message)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


class FileAnchor:
    """One line for each checkpoint; put the file on another disk or machine for more safety."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, line: str) -> None:
        """Keep one line durably, or nothing of it when that fails.

        What a kill cut off before is ended first, so that it stays one bad line.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            self._write(descriptor, (b"\n" if torn else b"") + line.encode() + b"\n", size)
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, content: bytes, size: int) -> None:
        try:
            written = os.write(descriptor, content)
            os.fsync(descriptor)
        except OSError:
            _cut(descriptor, size)
            raise
        if written != len(content):
            _cut(descriptor, size)
            raise OSError(errno.ENOSPC, "the line did not fit", str(self._path))

    def lines(self) -> tuple[str, ...]:
        """Return every line in order; none when the file is not there yet."""
        try:
            return tuple(self._path.read_text(errors="replace").splitlines())
        except FileNotFoundError:
            return ()


def _cut(descriptor: int, size: int) -> None:
    """Take back a part of a line, which would look like damage for ever."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, size)
