"""The one file in which a function travels: a plain tar of an index and blobs, the same bytes each time.

Nothing is compressed, so nothing can swell, and every header is exactly the one
that writing would have made: no path leads anywhere, nothing stands twice, and
whatever else a tar could hold is refused. What a version must be is not known here.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from control_plane.domain.canonical import canonical_json
from control_plane.domain.functions import MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, check_path
from control_plane.domain.moving import ImportRefused
from control_plane.errors import Invalid

__all__ = [
    "MAX_LAYER_BYTES",
    "ArchivedFile",
    "ArchivedVersion",
    "FunctionArchive",
    "Received",
    "receive",
    "write",
]

FORMAT: Final = 1
# A larger layer stays behind; it is made from the lock again where the function arrives.
MAX_LAYER_BYTES: Final = 400_000_000
_INDEX: Final = "ingot-function.json"
_BLOBS: Final = "blobs/sha256/"
_BLOCK: Final = 512
_MAX_INDEX: Final = 16_000_000
_MAX_MEMBERS: Final = 50_000
_MAX_VERSIONS: Final = 1_000
_CHUNK: Final = 1 << 20
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One source file."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class ArchivedVersion:
    """One version: its digest is that of its manifest, which is a blob like everything else."""

    number: int
    digest: str
    files: tuple[ArchivedFile, ...]
    lock: str
    sbom: str
    # Digest of the dependencies' layer where it travels along.
    deps: str = ""


@dataclass(frozen=True, slots=True)
class FunctionArchive:
    """The index: what is in the file."""

    # Name, title, description and labels of the function.
    function: Mapping[str, Any]
    versions: tuple[ArchivedVersion, ...]
    # The envelope of the evidence, and base64 of the key that signed it.
    evidence: Mapping[str, Any]
    signer: str

    def digests(self) -> tuple[str, ...]:
        """Return every blob that belongs to it, in the order of the file."""
        found = set()
        for one in self.versions:
            found |= {one.digest, one.lock, one.sbom, *(file.digest for file in one.files)}
            found |= {one.deps} if one.deps else set()
        return tuple(sorted(found))


def write(archive: FunctionArchive, blob: Callable[[str], bytes]) -> Iterator[bytes]:
    """Yield the file piece by piece; `blob` returns the content of a digest."""
    yield from _member(_INDEX, _index_of(archive))
    for digest in archive.digests():
        yield from _member(_BLOBS + digest.removeprefix("sha256:"), blob(digest))
    yield bytes(2 * _BLOCK)


def _member(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content))
    for begin in range(0, len(content), _CHUNK):
        yield content[begin : begin + _CHUNK]
    yield bytes(-len(content) % _BLOCK)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(format=tarfile.USTAR_FORMAT)


class Received:
    """A file that was read to its end and whose blobs have the digests that they are named by."""

    def __init__(
        self, stream: IO[bytes], archive: FunctionArchive, places: Mapping[str, tuple[int, int]]
    ) -> None:
        self._stream = stream
        self._places = places
        self.archive = archive

    def blob(self, digest: str) -> bytes:
        """Return one blob."""
        begin, size = self._places[digest]
        self._stream.seek(begin)
        return self._stream.read(size)


def receive(stream: IO[bytes]) -> Received:
    """Read a file from its beginning. Raises ImportRefused at the first thing that is not as it should be."""
    members = _members(stream)
    try:
        name, begin, size = next(members)
    except StopIteration:
        raise ImportRefused("The file holds nothing.") from None
    if name != _INDEX or size > _MAX_INDEX:
        raise ImportRefused(f"The file does not begin with {_INDEX}.")
    stream.seek(begin)
    archive = _index(stream.read(size))
    stream.seek(begin + size + -size % _BLOCK)
    places = {}
    for name, begin, size in members:
        digest = "sha256:" + name.removeprefix(_BLOBS)
        places[digest] = (begin, size)
        _check_blob(stream, digest, begin, size)
    if tuple(places) != archive.digests():
        raise ImportRefused("The file's blobs are not those that its index names, in their order.")
    _check_sizes(archive, places)
    return Received(stream, archive, places)


def _members(stream: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    """Yield (name, position, size); the stream stands behind each one when the next is asked for."""
    for _ in range(_MAX_MEMBERS):
        header = stream.read(_BLOCK)
        if header == bytes(_BLOCK):
            if stream.read(_BLOCK + 1) != bytes(_BLOCK):
                raise ImportRefused("The file does not end where it should.")
            return
        name, size = _read_header(header)
        begin = stream.tell()
        yield name, begin, size
        stream.seek(begin + size)
        padding = -size % _BLOCK
        if stream.read(padding) != bytes(padding):
            raise ImportRefused("The file is cut off, or something lies between its parts.")
    raise ImportRefused(f"The file has more than {_MAX_MEMBERS} parts.")


def _read_header(header: bytes) -> tuple[str, int]:
    try:
        name = header[:100].rstrip(b"\0").decode("ascii")
        size = int(header[124:135], 8)
        known = name == _INDEX or re.fullmatch(_BLOBS + "[0-9a-f]{64}", name)
        # The header as a whole: a link, another owner or a second name would make it differ.
        if known and header == _header(name, size):
            return name, size
    except ValueError:
        pass
    raise ImportRefused("The file is cut off, or holds something that no export has.")


def _check_blob(stream: IO[bytes], digest: str, begin: int, size: int) -> None:
    stream.seek(begin)
    hashed, left = hashlib.sha256(), size
    while left and (piece := stream.read(min(_CHUNK, left))):
        hashed.update(piece)
        left -= len(piece)
    if left or f"sha256:{hashed.hexdigest()}" != digest:
        raise ImportRefused(f"The bytes of {digest} were changed or cut off.")


def _check_sizes(archive: FunctionArchive, places: Mapping[str, tuple[int, int]]) -> None:
    for one in archive.versions:
        for file in one.files:
            if places[file.digest][1] != file.size:
                raise ImportRefused(f"{file.path!a} does not have the size that the index names.")
        for digest, most in (
            (one.digest, MAX_FILE_BYTES),
            (one.lock, MAX_FILE_BYTES),
            (one.sbom, MAX_TOTAL_BYTES),
        ):
            if places[digest][1] > most:
                raise ImportRefused("A manifest, lock or bill of materials is far too large.")
        if one.deps and places[one.deps][1] > MAX_LAYER_BYTES:
            raise ImportRefused("A layer is far too large.")


def _index_of(archive: FunctionArchive) -> bytes:
    return canonical_json({"format": FORMAT, **_plain(archive)})


def _check_format(number: Any) -> None:
    if number != FORMAT:
        raise ImportRefused(
            "The file has another format than this Ingot reads.", hint="Update the older of the two Ingots."
        )


def _plain(archive: FunctionArchive) -> dict[str, Any]:
    return {
        "function": dict(archive.function),
        "versions": [
            {
                "number": one.number,
                "digest": one.digest,
                "files": [[file.path, file.digest, file.size] for file in one.files],
                "lock": one.lock,
                "sbom": one.sbom,
                "deps": one.deps,
            }
            for one in archive.versions
        ],
        "evidence": dict(archive.evidence),
        "signer": archive.signer,
    }


def _index(content: bytes) -> FunctionArchive:
    """Return the index, every field of it of its type and within its bounds."""
    try:
        document = json.loads(content)
        _check_format(document.pop("format", None))
        archive = FunctionArchive(
            function=_mapping(document["function"]),
            versions=tuple(_version(one) for one in document["versions"]),
            evidence=_mapping(document["evidence"]),
            signer=str(document["signer"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ImportRefused("The file's index cannot be read.") from error
    # What else it may say would be said by nobody.
    if _index_of(archive) != content:
        raise ImportRefused("The file's index is not as an export writes it.")
    numbers = [one.number for one in archive.versions]
    if not 1 <= len(numbers) <= _MAX_VERSIONS:
        raise ImportRefused(f"The file has {len(numbers)} versions; 1 to {_MAX_VERSIONS} are possible.")
    if numbers != sorted(set(numbers)) or len({one.digest for one in archive.versions}) != len(numbers):
        raise ImportRefused("The file's versions are out of order, or one stands there twice.")
    return archive


def _version(fields: Mapping[str, Any]) -> ArchivedVersion:
    files = tuple(_file(one) for one in fields["files"])
    paths = [one.path for one in files]
    if (
        paths != sorted(set(paths))
        or len(files) > MAX_FILES
        or sum(one.size for one in files) > MAX_TOTAL_BYTES
    ):
        raise ImportRefused("A version has too many files, too large ones, or one twice.")
    return ArchivedVersion(
        number=_number(fields["number"]),
        digest=_digest(fields["digest"]),
        files=files,
        lock=_digest(fields["lock"]),
        sbom=_digest(fields["sbom"]),
        deps=_digest(fields["deps"]) if fields["deps"] else "",
    )


def _file(fields: Iterable[Any]) -> ArchivedFile:
    path, digest, size = fields
    if _number(size) > MAX_FILE_BYTES:
        raise ImportRefused(f"{str(path)[:80]!a} is too large.")
    try:
        return ArchivedFile(check_path(path), _digest(digest), size)
    except Invalid as error:
        raise ImportRefused(error.message) from error


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError("no digest")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise ValueError("no number")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return dict(value.items())
