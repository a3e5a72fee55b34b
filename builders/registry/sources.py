"""Where the bytes of an upload come from: a file, or memory. Both can be read again from any place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builders.registry.names import check_digest, digest_of

__all__ = ["Blob", "of_bytes", "of_file"]

_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Blob:
    """One content with its digest and size."""

    digest: str
    size: int
    content: bytes | Path

    def read(self, start: int, length: int) -> Iterator[bytes]:
        """Yield a part of it in pieces; shorter than asked for when the file has become shorter."""
        if isinstance(self.content, bytes):
            for at in range(start, start + length, _PIECE):
                yield self.content[at : min(at + _PIECE, start + length)]
            return
        with self.content.open("rb") as stream:
            stream.seek(start)
            while length > 0 and (piece := stream.read(min(_PIECE, length))):
                length -= len(piece)
                yield piece


def of_bytes(content: bytes) -> Blob:
    """Return the blob of a content in memory."""
    return Blob(digest_of(content), len(content), content)


def of_file(path: Path, digest: str) -> Blob:
    """Return the blob of a file whose digest is known; the registry checks it again."""
    return Blob(check_digest(digest), path.stat().st_size, path)
