"""The archive's form: a plain tar whose last member, `manifest.json`, names every other with its digest.

A tar that was cut anywhere has no manifest and so is no backup. What the
members mean is not known here.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from control_plane.errors import Invalid

__all__ = ["FORMAT", "ArchiveWriter", "Manifest", "Member", "Taken", "open_archive", "read_manifest"]

FORMAT = 1
_MANIFEST = "manifest.json"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive."""

    name: str
    size: int
    sha256: str
    mode: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds and what it takes to bring it back."""

    format: int
    # Version of the program that made it.
    ingot: str
    created_ms: int
    # Database file -> revision of its migrations.
    databases: Mapping[str, str]
    # Log below the data folder -> {"start": where its kept part begins, "counted": where counting goes on}.
    logs: Mapping[str, Mapping[str, int]]
    # [role, digest] of each unpacked layer.
    layers: tuple[tuple[str, str], ...]
    # Links below the data folder -> what they point to.
    links: Mapping[str, str]
    # "sealed" in the archive, or "apart" in a file beside it.
    keys: str
    # Blobs whose content was not what their name says when they were read.
    damaged: tuple[str, ...]
    members: tuple[Member, ...] = field(default=())


class _Hashed:
    """Hashes what is read through it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.hash, self.size = stream, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        """Read, and hash what was read."""
        piece = self._stream.read(size)
        self.hash.update(piece)
        self.size += len(piece)
        return piece


class ArchiveWriter:
    """Writes members in order, then the manifest."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._tar = tarfile.TarFile(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT)
        self.members: list[Member] = []

    def add(self, name: str, stream: IO[bytes], size: int, mode: int = 0o600) -> Member:
        """Write `size` bytes of a stream, no more even if it grows. Raises OSError if it has fewer."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, mode & 0o777
        hashed = _Hashed(stream)
        self._tar.addfile(entry, hashed)
        if hashed.size != size:
            raise OSError(f"{name} became shorter while it was read")
        member = Member(name, size, hashed.hash.hexdigest(), mode & 0o777)
        self.members.append(member)
        return member

    def add_bytes(self, name: str, content: bytes) -> Member:
        """Write a small member."""
        return self.add(name, io.BytesIO(content), len(content))

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest and the tar's end."""
        content = json.dumps(asdict(manifest) | {"members": [asdict(one) for one in self.members]})
        entry = tarfile.TarInfo(_MANIFEST)
        entry.size, entry.mode = len(content.encode()), 0o600
        self._tar.addfile(entry, io.BytesIO(content.encode()))
        self._tar.close()


@dataclass(frozen=True, slots=True)
class Taken:
    """A member as it is read back; `digest` is known when all of it was read."""

    name: str
    size: int
    stream: IO[bytes]

    def copy(self, target: IO[bytes]) -> str:
        """Copy everything and return the SHA-256 of it."""
        hashed = _Hashed(self.stream)
        while piece := hashed.read(_PIECE):
            target.write(piece)
        return hashed.hash.hexdigest()


@contextmanager
def open_archive(path: Path) -> Iterator[Iterator[Taken]]:
    """Give the members in order, the manifest left out. Raises Invalid when it is no archive."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            yield _members(tar)
    except (tarfile.TarError, EOFError) as error:
        raise Invalid(f"{path} is no backup: {error}.", hint="Take another archive.") from error


def _members(tar: tarfile.TarFile) -> Iterator[Taken]:
    for entry in tar:
        stream = tar.extractfile(entry) if entry.isreg() else None
        if stream is None:
            raise tarfile.TarError(f"{entry.name!r} is not a plain file")
        if entry.name != _MANIFEST:
            yield Taken(entry.name, entry.size, stream)


def read_manifest(path: Path) -> Manifest:
    """Return an archive's manifest. Raises Invalid when it is cut, damaged or of another format."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            last = None
            for entry in tar:
                last = entry
            stream = tar.extractfile(last) if last is not None and last.name == _MANIFEST else None
            found: dict[str, Any] = json.loads(stream.read()) if stream is not None else {}
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise Invalid(f"{path} is no backup: {error}.", hint="Take another archive.") from error
    if not found:
        raise Invalid(f"{path} is incomplete: it has no manifest.", hint="Take another archive.")
    if found.get("format") != FORMAT:
        raise Invalid(
            f"{path} has format {found.get('format')}; this version reads {FORMAT}.",
            hint="Use the version of Ingot that made it.",
        )
    try:
        members = tuple(Member(**one) for one in found.pop("members"))
        layers = tuple((str(role), str(digest)) for role, digest in found.pop("layers"))
        return Manifest(**{**found, "damaged": tuple(found["damaged"])}, layers=layers, members=members)
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid(f"{path} has a damaged manifest: {error!r}.", hint="Take another archive.") from error
