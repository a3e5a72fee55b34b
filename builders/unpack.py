"""Unpacks a stored layer to `<layers>/<hex>/`, whole or not at all, and read-only.

The folder holds the content of the layer's root (`layers.ROOTS`) directly, so
it can stand on an import path. Its digest can be computed again from it at
any time: that is how it is verified.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from builders import tree
from builders.errors import BuildError
from builders.layers import (
    MAX_DEPTH,
    MAX_PATH_BYTES,
    ROOTS,
    Entry,
    entries_of_files,
    entries_of_folder,
    write_layer,
)
from builders.storage import blob_path, still_needed, sync_folder, sync_tree, temporary_folder

__all__ = ["layer_folder", "place_files", "unpack_layer", "verify_layer"]

# The layer that may also be placed from files: small, and of a digest that is quickly computed.
_PLACED = "function"


def layer_folder(layers: Path, digest: str) -> Path:
    """Return where a layer lies unpacked, whether or not it is there."""
    return layers / blob_path(layers, digest).name


def unpack_layer(blobs: Path, layers: Path, digest: str, role: str) -> Path:
    """Return the layer's folder, unpacking its blob if need be. Safe to do twice at once."""
    folder = layer_folder(layers, digest)
    if _is_there(folder, digest, role):
        if role == _PLACED:
            sync_tree(folder)
        return folder
    with temporary_folder(layers) as content:
        _extract(blob_path(blobs, digest), content, ROOTS[role])
        if not verify_layer(content, digest, role):
            raise BuildError(
                "layer_corrupt",
                f"The layer {digest} does not unpack to its own digest.",
                hint="Remove its blob and freeze again; if it stays so, the file system changes files.",
            )
        _seal(content)
        sync_tree(content)
        try:
            # Beside its place from the start: a read-only folder cannot move to another parent.
            content.rename(folder)
        except OSError:
            # No folder is renamed over a full one: whoever was first has won.
            if not folder.is_dir():
                raise
    sync_folder(layers)
    return folder


def place_files(files: Mapping[str, bytes], layers: Path) -> str:
    """Lay a draft's files down as its function layer, without a blob; returns the layer's digest.

    For code that somebody tries: it is made again whenever it is asked for,
    so nothing waits for the disk. `unpack_layer` makes it durable.
    """
    digest = _digest_of(entries_of_files(files), _PLACED)
    folder = layer_folder(layers, digest)
    if not _is_there(folder, digest, _PLACED):
        with temporary_folder(layers) as content:
            for path, text in files.items():
                target = content / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(text)
            _seal(content)
            with contextlib.suppress(OSError):
                # Whoever was first has won.
                content.rename(folder)
    return digest


def _is_there(folder: Path, digest: str, role: str) -> bool:
    """Say whether the layer lies there, whole: what was only placed may have lost its end with the power."""
    if not still_needed(folder):
        return False
    if role != _PLACED or verify_layer(folder, digest, role):
        return True
    with temporary_folder(folder.parent) as grave:
        grave.rmdir()
        folder.rename(grave)
    return False


def verify_layer(folder: Path, digest: str, role: str) -> bool:
    """Say whether a folder is exactly the layer of this digest."""
    return _digest_of({entry.path: entry for entry in entries_of_folder(folder)}, role) == digest


def _digest_of(entries: Mapping[str, Entry], role: str) -> str:
    hashed = hashlib.sha256()

    class Sink:
        def write(self, content: bytes, /) -> int:
            hashed.update(content)
            return len(content)

    write_layer(entries, ROOTS[role], Sink())
    return f"sha256:{hashed.hexdigest()}"


def _extract(blob: Path, target: Path, root: str) -> None:
    """Write the files below the layer's root. Blobs may have been changed on disk: believe no name."""
    prefix = f"{root}/"
    try:
        with tarfile.open(blob, mode="r:") as archive:
            for member in archive:
                if member.isdir():
                    continue
                path = member.name.removeprefix(prefix)
                tree.check_path(path, max_bytes=MAX_PATH_BYTES, max_depth=MAX_DEPTH)
                _write_member(archive, member, target / path)
    except (tarfile.TarError, BuildError, FileNotFoundError, FileExistsError) as error:
        raise BuildError(
            "layer_corrupt",
            f"The blob {blob.name} is not a layer: {error}.",
            hint="Freeze the version again.",
        ) from error


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    stream = archive.extractfile(member) if member.isreg() else None
    if stream is None:
        raise tarfile.TarError(f"{member.name!r} is not a plain file")
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = 0o755 if member.mode & 0o100 else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as target:
        while chunk := stream.read(1 << 20):
            target.write(chunk)


def _seal(folder: Path) -> None:
    """Make a tree readable to all and writable to nobody, whatever the umask was."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(parent, name)
            path.chmod(0o555 if path.stat().st_mode & 0o100 else 0o444)
        Path(parent).chmod(0o555)
