"""The keys of one Ingot: made at the first start, read at every other.

They live in files that only the starter may read, and reach the roles that
need them by an inherited descriptor, never by the environment or an argument.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from control_plane.errors import Unavailable

__all__ = ["KEYS", "load_keys", "shared_keys", "write_private"]

# name -> what it is for
KEYS = {
    "master": "wraps the data keys that seal secrets",
    "audit": "seed of the Ed25519 key that signs audit checkpoints",
    "cursor": "signs the cursors of lists and streams",
    "files": "signs the addresses of uploads and downloads",
    "release": "seed of the Ed25519 key that attests releases for clusters",
    "hop": "seed of the Ed25519 key that makes the gateway's tokens for pods",
}


def load_keys(folder: Path, given: Path | None = None) -> dict[str, str]:
    """Return every key as base64 of 32 bytes, making what is missing.

    `given` is a folder of keys that are kept elsewhere, such as a mounted
    Secret. Raises Unavailable where it has none, or others than those in use.
    """
    keys = {}
    for name in KEYS:
        path = folder / f"{name}.key"
        if given is not None:
            _take(given / path.name, path)
        elif not path.exists():
            write_private(path, base64.b64encode(secrets.token_bytes(32)).decode())
        keys[name] = path.read_text().strip()
    return keys


def shared_keys(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Return keys that another Ingot made and this one was given. Raises Unavailable, naming the file."""
    keys = {}
    for name in names:
        path = folder / f"{name}.key"
        try:
            keys[name] = path.read_text().strip()
        except FileNotFoundError:
            raise Unavailable(
                f"There is no {path}.",
                hint="Copy it there from the Ingot that this gateway belongs to.",
            ) from None
    return keys


def _take(source: Path, path: Path) -> None:
    try:
        text = source.read_text().strip()
        fine = len(base64.b64decode(text, validate=True)) == 32
    except (OSError, ValueError):
        fine = False
    if not fine:
        raise Unavailable(
            f"{source} holds no key.",
            hint="Each key is 32 random bytes in base64: `openssl rand -base64 32`.",
        )
    if not path.exists():
        write_private(path, text)
    elif path.read_text().strip() != text:
        # What the old one sealed and signed would be unreadable without a word.
        raise Unavailable(
            f"{source} is another key than the data folder's, {path}.",
            hint="Give the key that was used so far; a copy is in every backup.",
        )


def write_private(path: Path, text: str) -> None:
    """Write a file for the owner's eyes, whole or not at all."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
