"""A tree of files, links and folders in memory, and its one form as a layer.

Pure but for the sink. Names are sorted by their bytes, everything belongs to
root at time 0, and no file keeps a set-user-id bit. What the tree is for may
not be known here.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Node", "Tree", "file", "folder", "link", "write_tree"]


class _Sink(Protocol):
    def write(self, content: bytes, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Node:
    """One entry: a file with content, a symbolic link with a target, or a folder with neither."""

    kind: bytes
    mode: int
    content: bytes = b""
    target: str = ""


# A path without a slash at either end -> what lies there.
Tree = dict[str, Node]


def file(content: bytes, *, executable: bool = False) -> Node:
    """Return a plain file."""
    return Node(tarfile.REGTYPE, 0o755 if executable else 0o644, content)


def folder(mode: int = 0o755) -> Node:
    """Return a folder."""
    return Node(tarfile.DIRTYPE, mode)


def link(target: str) -> Node:
    """Return a symbolic link."""
    return Node(tarfile.SYMTYPE, 0o777, target=target)


def write_tree(tree: Mapping[str, Node], sink: _Sink) -> None:
    """Write the tree as a tar, with the folders that its files need."""
    whole = dict(_parents(tree)) | dict(tree)
    for path in sorted(whole, key=str.encode):
        node = whole[path]
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.size, info.linkname = node.kind, node.mode, len(node.content), node.target
        sink.write(info.tobuf(format=tarfile.PAX_FORMAT, encoding="utf-8", errors="strict"))
        sink.write(node.content)
        sink.write(bytes(-len(node.content) % tarfile.BLOCKSIZE))
    sink.write(bytes(2 * tarfile.BLOCKSIZE))


def _parents(tree: Mapping[str, Node]) -> Iterator[tuple[str, Node]]:
    for path in tree:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            yield "/".join(parts[:depth]), folder()
