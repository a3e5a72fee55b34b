"""Reads the members of a plain tar that anybody may have made.

Written out because the standard library's reader takes quadratic time on
crafted extended headers and follows far more of the format than a draft
needs: here are plain files, folders, long names, and nothing else. Rules for
names and sizes of trees may not live here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["TarMember", "Unreadable", "read_tar"]

BLOCK = 512
# A name of 240 bytes and a few notes fit into this many times over.
_MAX_EXTENSION = 16_384
_FILES, _FOLDER = (b"0", b"\0", b"7"), b"5"


class Unreadable(ValueError):
    """The bytes are not a tar of plain files and folders."""


@dataclass(frozen=True, slots=True)
class TarMember:
    """One member; `content` is None for a folder."""

    name: str
    content: memoryview | None


def read_tar(plain: bytes) -> Iterator[TarMember]:
    """Yield the members in order. Raises Unreadable at the first that is anything else."""
    view = memoryview(plain)
    offset, long_name, long_size = 0, "", -1
    while offset + BLOCK <= len(view) and any(view[offset : offset + BLOCK]):
        header = bytes(view[offset : offset + BLOCK])
        _check_sum(header)
        kind, size = header[156:157], _number(header[124:136])
        if kind in (*_FILES, _FOLDER) and long_size >= 0:
            size = long_size
        start, end = offset + BLOCK, offset + BLOCK + size
        if end > len(view):
            raise Unreadable("a member is cut off")
        offset = end + -size % BLOCK
        if kind in (b"x", b"g", b"L"):
            if size > _MAX_EXTENSION:
                raise Unreadable(f"an extended header has more than {_MAX_EXTENSION} bytes")
            extension = bytes(view[start:end])
            if kind == b"x":
                long_name, long_size = _extended(extension, long_name)
            elif kind == b"L":
                long_name = _text(extension.partition(b"\0")[0])
            continue
        name = long_name or _name(header)
        long_name, long_size = "", -1
        if kind in _FILES and not name.endswith("/"):
            yield TarMember(name, view[start:end])
        elif kind in (_FOLDER, *_FILES):
            yield TarMember(name, None)
        else:
            raise Unreadable(f"{name!a} is a link, a device or another special file")


def _check_sum(header: bytes) -> None:
    counted = sum(header) - sum(header[148:156]) + 8 * 0x20
    if _number(header[148:156]) != counted:
        raise Unreadable("a header's checksum is wrong")


def _number(field: bytes) -> int:
    digits = field.partition(b"\0")[0].strip()
    if digits.translate(None, b"01234567"):
        raise Unreadable("a header's number is not octal")
    return int(digits or b"0", 8)


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable(f"the name {name[:80]!r} is not UTF-8") from None


def _extended(records: bytes, name: str) -> tuple[str, int]:
    """Return the (name, size) that a pax header gives the next member; size -1 when it gives none."""
    size = -1
    while records:
        length, _, _ = records[:8].partition(b" ")
        end = int(length) if length.isdigit() else 0
        keyword, separator, value = records[len(length) + 1 : max(0, end - 1)].partition(b"=")
        if not separator or end > len(records) or records[end - 1 : end] != b"\n":
            raise Unreadable("an extended header is malformed")
        if keyword.startswith(b"GNU.sparse"):
            raise Unreadable("a member is a sparse file")
        if keyword == b"path":
            name = _text(value)
        elif keyword == b"size":
            if not value.isdigit() or len(value) > 12:
                raise Unreadable("an extended header's size is not a number")
            size = int(value)
        records = records[end:]
    return name, size
