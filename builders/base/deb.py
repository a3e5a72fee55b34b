"""Reads the files of a Debian package whose SHA-256 was checked before.

A package is an `ar` archive whose member `data.tar.*` holds the files. What
becomes of them may not be known here.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from builders.errors import BuildError

__all__ = ["control_of", "files_of"]

_MAGIC = b"!<arch>\n"
_HEADER = 60
_LARGEST = 1 << 28


def files_of(package: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Yield each member of the package with its content, which is empty for what is no file."""
    with _opened(package, "data") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isreg() else None
            yield member, stream.read() if stream is not None else b""


def control_of(package: Path) -> bytes:
    """Return the package's own description of itself."""
    with _opened(package, "control") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.name.removeprefix("./") == "control" else None
            if stream is not None:
                return stream.read()
    raise _unreadable(package, "it has no control file")


def _opened(package: Path, part: str) -> tarfile.TarFile:
    with package.open("rb") as stream:
        for name, content in _members(package, stream):
            if name.startswith(f"{part}.tar"):
                try:
                    return tarfile.open(fileobj=io.BytesIO(content), mode="r:*")
                except tarfile.TarError as error:
                    raise _unreadable(
                        package, f"{name} is compressed in a way that Python cannot read"
                    ) from error
    raise _unreadable(package, f"it has no {part}.tar")


def _members(package: Path, stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise _unreadable(package, "it is no Debian package")
    while header := stream.read(_HEADER):
        digits = header[48:58].strip()
        if len(header) != _HEADER or not digits.isdigit() or int(digits) > _LARGEST:
            raise _unreadable(package, "a member's header is damaged")
        content = stream.read(int(digits))
        if int(digits) % 2:
            stream.read(1)
        yield header[:16].decode("latin-1").strip().rstrip("/"), content


def _unreadable(package: Path, why: str) -> BuildError:
    return BuildError("base_unavailable", f"The package {package.name} cannot be read: {why}.")
