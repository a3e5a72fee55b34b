"""Reads one object of an S3 store as a stream, going on where a broken connection ended.

It is always one object: a later one of the same name is never mixed in.
"""

from __future__ import annotations

import io
from typing import IO, Any, Final, cast

from botocore.exceptions import BotoCoreError
from urllib3.exceptions import HTTPError

from control_plane.adapters.cluster.bucket import Bucket, store_errors
from control_plane.errors import Unavailable

__all__ = ["ObjectReader"]

_RESUMES: Final = 3


class ObjectReader(io.RawIOBase):
    """The bytes of one object, in order."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        super().__init__()
        self._bucket, self._key = bucket, key
        with store_errors():
            found = bucket.client.get_object(**bucket.at(key))
        self._body: Any = found["Body"]
        self._etag, self._size = str(found["ETag"]), int(found["ContentLength"])
        self._position, self._resumes, self._moved = 0, 0, False

    @classmethod
    def of(cls, bucket: Bucket, key: str) -> IO[bytes]:
        """Return a buffered stream. Raises FileNotFoundError."""
        return cast(IO[bytes], io.BufferedReader(cls(bucket, key), 1 << 18))

    def readable(self) -> bool:
        """Say so."""
        return True

    def seekable(self) -> bool:
        """Say so: callers ask for parts."""
        return True

    def tell(self) -> int:
        """Return where the next byte is."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on from another place; the rest of the object is asked for when it is read."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        wanted = max(0, start + offset)
        if wanted != self._position:
            self._position, self._moved = wanted, True
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes; the end is only where the object ends."""
        wanted = max(0, min(len(buffer), self._size - self._position))
        if wanted and self._moved:
            self._ask_rest()
        while wanted:
            try:
                piece = self._body.read(wanted)
            except (BotoCoreError, HTTPError, OSError):
                piece = b""
            if piece:
                buffer[: len(piece)] = piece
                self._position += len(piece)
                return len(piece)
            self._resume()
        return 0

    def close(self) -> None:
        """Give the connection back."""
        if not self.closed:
            self._body.close()
        super().close()

    def _resume(self) -> None:
        """Ask for the rest of this very object."""
        self._resumes += 1
        if self._resumes > _RESUMES:
            raise Unavailable("The object store breaks off what it sends.", hint="Try again in a moment.")
        self._ask_rest()

    def _ask_rest(self) -> None:
        self._body.close()
        self._moved = False
        try:
            with store_errors():
                found = self._bucket.client.get_object(
                    **self._bucket.at(self._key), IfMatch=self._etag, Range=f"bytes={self._position}-"
                )
        except FileNotFoundError:
            raise Unavailable("The file was deleted while it was sent.", hint="Look for another.") from None
        self._body = found["Body"]
