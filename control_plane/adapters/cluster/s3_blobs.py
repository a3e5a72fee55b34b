"""The Blobs port over an S3 store: `blobs/sha256/<hex>`, each object whole or not there.

An object's age says how long nobody has relied on it (`s3_contents`). A sweep
says with a mark beside an object that it may remove it; whoever relies on the
object makes it young first and looks for the mark afterwards, so one of the two
always sees the other.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from control_plane.adapters.cluster.bucket import Bucket, store_errors
from control_plane.errors import Unavailable

__all__ = ["BLOBS", "MARKS", "S3Blobs", "age_of"]

BLOBS: Final = "blobs/sha256/"
MARKS: Final = "doomed/sha256/"
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
# Much shorter than the shortest grace of a clean-up, which is an hour.
_YOUNG_MS: Final = 15 * 60_000
# A sweep is two requests long; a mark that stays was left by one that died.
_SWEEP_S: Final = 120.0
_LOOK_S: Final = 0.05
_PIECE: Final = 1 << 20


class Sink(Protocol):
    """Where bytes may be written."""

    def write(self, content: bytes, /) -> int:
        """Take some."""
        ...


class S3Blobs:
    """Content-addressed objects."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def put(self, content: bytes) -> str:
        """Store and return the digest; storing the same content again soon is free."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._keep(digest, lambda: self._bucket.client.put_object(**self._at(digest), Body=content))
        return digest

    def put_file(self, path: Path, digest: str) -> None:
        """Store a large content whose digest is known; in parts, seen by nobody before the last."""

        def send() -> None:
            with path.open("rb") as stream:
                if _hash_of(stream) != digest:
                    raise FileNotFoundError(f"the blob {digest} was damaged on disk")
            place = self._at(digest)
            self._bucket.client.upload_file(str(path), place["Bucket"], place["Key"])

        self._keep(digest, send)

    def get(self, digest: str) -> bytes:
        """Return the content, verified. Raises FileNotFoundError."""
        with store_errors():
            content: bytes = self._bucket.client.get_object(**self._at(digest))["Body"].read()
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            # Damaged content must look absent, so that whoever has it stores it again.
            self._drop(digest)
            raise FileNotFoundError(f"the blob {digest} was damaged in the object store")
        return content

    def get_file(self, digest: str, stream: Sink) -> None:
        """Write a large content to a stream, verified at the end. Raises FileNotFoundError."""
        sha256 = hashlib.sha256()
        with store_errors():
            body = self._bucket.client.get_object(**self._at(digest))["Body"]
            for piece in body.iter_chunks(_PIECE):
                sha256.update(piece)
                stream.write(piece)
        if f"sha256:{sha256.hexdigest()}" != digest:
            self._drop(digest)
            raise FileNotFoundError(f"the blob {digest} was damaged in the object store")

    def has(self, digest: str) -> bool:
        """Say whether the content is there."""
        try:
            with store_errors():
                self._bucket.client.head_object(**self._at(digest))
        except FileNotFoundError:
            return False
        return True

    def _keep(self, digest: str, send: Callable[[], Any]) -> None:
        deadline = time.monotonic() + _SWEEP_S
        with store_errors():
            if self._is_young(digest):
                return
            if not self._renewed(digest):
                send()
            while self._is_marked(digest):
                if time.monotonic() > deadline:
                    raise Unavailable("A clean-up holds the content.", hint="Try again in a moment.")
                time.sleep(_LOOK_S)
                # The sweep that saw it old may have removed it after it was sent.
                if not self._is_young(digest):
                    send()

    def _is_young(self, digest: str) -> bool:
        try:
            with store_errors():
                found = self._bucket.client.head_object(**self._at(digest))
        except FileNotFoundError:
            return False
        return age_of(found) < _YOUNG_MS

    def _renewed(self, digest: str) -> bool:
        """Make an object young again by a copy onto itself, which sends no bytes; False when it is absent."""
        place = self._at(digest)
        try:
            with store_errors():
                self._bucket.client.copy_object(**place, CopySource=place, MetadataDirective="REPLACE")
        except FileNotFoundError:
            return False
        return True

    def _is_marked(self, digest: str) -> bool:
        place = self._bucket.at(f"{MARKS}{digest.removeprefix('sha256:')}")
        try:
            with store_errors():
                found = self._bucket.client.head_object(**place)
        except FileNotFoundError:
            return False
        return age_of(found) < _SWEEP_S * 1000

    def _drop(self, digest: str) -> None:
        with store_errors():
            self._bucket.client.delete_object(**self._at(digest))

    def _at(self, digest: str) -> dict[str, str]:
        match = _DIGEST.fullmatch(digest)
        if match is None:
            raise FileNotFoundError(f"{digest[:80]!r} is no digest")
        return self._bucket.at(f"{BLOBS}{match[1]}")


def age_of(answer: dict[str, Any]) -> float:
    """Return for how many milliseconds nobody has written an object, by the store's own clock."""
    now = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
    age: timedelta = parsedate_to_datetime(now) - answer["LastModified"]
    return age.total_seconds() * 1000


def _hash_of(stream: BinaryIO) -> str:
    sha256 = hashlib.sha256()
    while piece := stream.read(_PIECE):
        sha256.update(piece)
    return f"sha256:{sha256.hexdigest()}"
