"""Deterministic OCI layers: the same files give the same bytes everywhere.

A layer is an uncompressed tar, so its digest is its diff id and depends on no
compressor's build. Entries are sorted by the bytes of their names, with time
0, owner 0 and modes 0755 or 0644. Where the files come from may not be known
here, nor where a layer is unpacked to (`builders.unpack`).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from builders.errors import BuildError
from builders.storage import new_blob

__all__ = [
    "MAX_DEPTH",
    "MAX_PATH_BYTES",
    "ROOTS",
    "Entry",
    "entries_of_files",
    "entries_of_folder",
    "put_layer",
    "write_layer",
]

# Where a layer's content lies in an image. On a host the unpacked folder itself is this place.
# The longest path and deepest folder below a layer's root; wheels go further than drafts.
MAX_PATH_BYTES, MAX_DEPTH = 1_000, 64
ROOTS = {"function": "opt/ingot/function", "deps": "opt/ingot/deps"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One plain file of a layer, by its path below the layer's root."""

    path: str
    content: bytes | Path
    executable: bool = False

    @property
    def size(self) -> int:
        """The content's length in bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


class _Sink(Protocol):
    def write(self, content: bytes, /) -> int: ...


def entries_of_files(files: Mapping[str, bytes]) -> dict[str, Entry]:
    """Return the entries of a draft's tree; its executable bits mean nothing."""
    return {path: Entry(path, content) for path, content in files.items()}


def entries_of_folder(folder: Path) -> Iterator[Entry]:
    """Return every plain file below a folder, refusing whatever else lies there."""
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BuildError("install_failed", f"{path.name} is neither a plain file nor a folder.")
        if path.is_file():
            yield Entry(path.relative_to(folder).as_posix(), path, bool(mode & 0o100))


def write_layer(entries: Mapping[str, Entry], root: str, sink: _Sink) -> None:
    """Write a layer's tar: folders first, then as sorted by the bytes of the names."""
    folders = {
        "/".join(parts[:depth])
        for parts in (f"{root}/{path}".split("/") for path in entries)
        for depth in range(1, len(parts))
    } | {"/".join(root.split("/")[:depth]) for depth in range(1, len(root.split("/")) + 1)}
    files = {f"{root}/{path}": entry for path, entry in entries.items()}
    for name in sorted(folders | set(files), key=str.encode):
        entry = files.get(name)
        if entry is None:
            _write_header(sink, name, tarfile.DIRTYPE, 0o755, 0)
        else:
            _write_file(sink, name, entry)
    sink.write(bytes(2 * tarfile.BLOCKSIZE))


def _write_file(sink: _Sink, name: str, entry: Entry) -> None:
    size = entry.size
    _write_header(sink, name, tarfile.REGTYPE, 0o755 if entry.executable else 0o644, size)
    if isinstance(entry.content, bytes):
        _copy(io.BytesIO(entry.content), sink, size)
    else:
        with entry.content.open("rb") as stream:
            _copy(stream, sink, size)


def _write_header(sink: _Sink, name: str, kind: bytes, mode: int, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.size = size
    sink.write(info.tobuf(format=tarfile.PAX_FORMAT, encoding="utf-8", errors="strict"))


def _copy(stream: IO[bytes], sink: _Sink, size: int) -> None:
    left = size
    while left:
        chunk = stream.read(min(left, 1 << 20))
        if not chunk:
            raise OSError("a file became shorter while it was packed")
        sink.write(chunk)
        left -= len(chunk)
    sink.write(bytes(-size % tarfile.BLOCKSIZE))


def put_layer(entries: Mapping[str, Entry], role: str, blobs: Path) -> tuple[str, int]:
    """Store a role's layer as a blob; returns its digest and size."""
    with new_blob(blobs) as writer:
        write_layer(entries, ROOTS[role], writer)
    return writer.digest, writer.size
