"""Reads an uploaded tar or zip into a tree.

Every upload is hostile: nothing is ever unpacked to disk here, sizes are
counted while reading and not believed from headers, and whatever is not a
plain file or folder is refused. Rules for names live in `builders.tree`.
"""

from __future__ import annotations

import gzip
import io
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from builders import tree
from builders.errors import BuildError
from builders.tar_reader import read_tar

__all__ = ["MAX_ARCHIVE_BYTES", "read_archive"]

MAX_ARCHIVE_BYTES = 20_000_000
# Folders, leftovers and metadata members count too, so that a flood of them ends early.
MAX_MEMBERS = 10_000
# Text compresses about 10 times; a thousand times is only ever a bomb.
MAX_RATIO = 300
_CHUNK = 1 << 16


def read_archive(content: bytes) -> dict[str, bytes]:
    """Return the tree in a tar (plain or gzip) or zip, or refuse it whole."""
    if len(content) > MAX_ARCHIVE_BYTES:
        raise _too_large(f"The archive has {len(content)} bytes; at most {MAX_ARCHIVE_BYTES} are allowed.")
    reader = _zip_members if content[:4] in (b"PK\x03\x04", b"PK\x05\x06") else _tar_members
    budget = _Budget(len(content))
    files: dict[str, bytes] = {}
    try:
        for name, read in reader(content):
            budget.member()
            if read is None:
                continue
            path = name[2:] if name.startswith("./") else name
            tree.check_path(path)
            if path in files:
                raise _refused(f"The archive holds {path!a} twice.")
            files[path] = budget.read(path, read)
    except BuildError as error:
        if error.code == "draft_invalid":
            raise _refused(error.message) from None
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
        OverflowError,
    ) as error:
        raise _refused(f"The archive cannot be read: {str(error)[:200] or type(error).__name__}.") from error
    return _checked(files)


def _checked(files: dict[str, bytes]) -> dict[str, bytes]:
    try:
        return tree.normalise(files)
    except BuildError as error:
        if error.code == "draft_invalid":
            raise _refused(error.message) from None
        raise


class _Budget:
    """Counts members and bytes as they are read, over the whole archive."""

    def __init__(self, compressed: int) -> None:
        self._members = 0
        self._bytes = 0
        self._allowed = min(tree.MAX_TOTAL_BYTES, max(compressed * MAX_RATIO, 1_000_000))

    def member(self) -> None:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise _too_large(f"The archive has more than {MAX_MEMBERS} members.")

    def read(self, path: str, read: Callable[[], IO[bytes]]) -> bytes:
        content = bytearray()
        with read() as stream:
            while chunk := stream.read(_CHUNK):
                content += chunk
                self._bytes += len(chunk)
                if self._bytes > self._allowed:
                    raise _too_large(f"The archive unpacks to more than {self._allowed} bytes.")
                if len(content) > tree.MAX_FILE_BYTES:
                    raise _too_large(f"{path!a} has more than {tree.MAX_FILE_BYTES} bytes.")
        return bytes(content)


_Members = Iterator[tuple[str, Callable[[], IO[bytes]] | None]]


def _tar_members(content: bytes) -> _Members:
    for member in read_tar(_inflated(content) if content[:2] == b"\x1f\x8b" else content):
        if member.content is None:
            folder = member.name.rstrip("/").removeprefix("./")
            if folder not in (".", ""):
                tree.check_path(folder)
            yield member.name, None
        else:
            yield member.name, lambda member=member: io.BytesIO(member.content)  # type: ignore[misc]


def _inflated(content: bytes) -> bytes:
    """Return the plain tar of a gzipped one. It is bounded as a whole: headers inflate too."""
    # Each member adds at most 2 kB of header and padding to its content.
    allowed = min(
        tree.MAX_TOTAL_BYTES + MAX_MEMBERS * 2_048, max(len(content) * MAX_RATIO, 1_000_000 + 2_048)
    )
    plain = gzip.GzipFile(fileobj=io.BytesIO(content)).read(allowed + 1)
    if len(plain) > allowed:
        raise _too_large(f"The archive unpacks to more than {allowed} bytes.")
    return plain


def _zip_members(content: bytes) -> _Members:
    # The standard library reads the whole directory first, and an entry costs it ten times its bytes.
    if content.count(b"PK\x01\x02") > MAX_MEMBERS:
        raise _too_large(f"The archive has more than {MAX_MEMBERS} members.")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(
                    f"{info.filename!a} is a link, a device or another special file.",
                    hint="Put plain files into the archive only.",
                )
            if info.flag_bits & 0x1:
                raise _refused(f"{info.filename!a} is encrypted.")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _refused(f"{info.filename!a} is compressed in another way than deflate.")
            if info.is_dir():
                tree.check_path(info.filename.rstrip("/") or "/")
                yield info.filename, None
            else:
                yield info.orig_filename, lambda info=info: archive.open(info)  # type: ignore[misc]


def _refused(message: str, hint: str | None = None) -> BuildError:
    return BuildError("archive_refused", message, hint=hint or "Make the archive anew from plain files.")


def _too_large(message: str) -> BuildError:
    return BuildError("archive_too_large", message, hint="Leave out data and generated files.")
