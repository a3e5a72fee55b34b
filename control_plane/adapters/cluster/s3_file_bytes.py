"""The FileBytes port over an S3 store: `files/<id>`, whole or not there.

A small file is sent when it is kept; of a large one the parts are sent as they
come, and keeping it is the one request that makes an object of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, Final

from control_plane.adapters.cluster.bucket import Bucket, store_errors
from control_plane.adapters.cluster.s3_reading import ObjectReader
from control_plane.errors import Unavailable
from control_plane.ports import ReceivedBytes

__all__ = ["S3FileBytes"]

_ID: Final = re.compile(r"file_[0-9a-z]{1,64}")
# At least 5 MiB by the API's rules; 10,000 parts of this are more than any file may have.
_PART: Final = 8 << 20


@dataclass(slots=True)
class _Received:
    """Bytes that have come and are not in their place yet."""

    digest: str
    size: int
    finish: Callable[[], None]
    kept: bool = False

    def keep(self) -> None:
        """Put them in their place, durably."""
        self.finish()
        self.kept = True


class _Upload:
    """The parts of one large object."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._client, self._place = bucket.client, bucket.at(key)
        self._id = self._client.create_multipart_upload(**self._place)["UploadId"]
        self._parts: list[dict[str, Any]] = []

    def send(self, content: bytes) -> None:
        """Send the next part; the store compares its checksum."""
        number = len(self._parts) + 1
        sent = self._client.upload_part(**self._place, UploadId=self._id, PartNumber=number, Body=content)
        part = {"PartNumber": number, "ETag": sent["ETag"]}
        if "ChecksumCRC32" in sent:
            part["ChecksumCRC32"] = sent["ChecksumCRC32"]
        self._parts.append(part)

    def finish(self) -> None:
        """Make one object of the parts."""
        try:
            with store_errors():
                self._client.complete_multipart_upload(
                    **self._place, UploadId=self._id, MultipartUpload={"Parts": self._parts}
                )
        except FileNotFoundError:
            raise Unavailable("The file was deleted while it came.", hint="Announce it again.") from None

    def abandon(self) -> None:
        """Let the store forget the parts; what cannot be told now, `delete` tells later."""
        with suppress(FileNotFoundError, Unavailable), store_errors():
            self._client.abort_multipart_upload(**self._place, UploadId=self._id)


class S3FileBytes:
    """Files by id; a kill at any moment leaves no half-written one under its id."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @contextmanager
    def receive(self, file: str, chunks: Iterable[bytes]) -> Iterator[ReceivedBytes]:
        """Send large files as they come and yield; what is not kept in the block is deleted."""
        key = _key(file)
        uploads: list[_Upload] = []
        received: _Received | None = None
        try:
            received = self._take(key, chunks, uploads)
            yield received
        finally:
            if received is None or not received.kept:
                for upload in uploads:
                    upload.abandon()

    def _take(self, key: str, chunks: Iterable[bytes], uploads: list[_Upload]) -> _Received:
        digest, size, waiting = hashlib.sha256(), 0, bytearray()
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            waiting += chunk
            while len(waiting) >= _PART:
                self._send(key, bytes(waiting[:_PART]), uploads)
                del waiting[:_PART]
        if uploads and waiting:
            self._send(key, bytes(waiting), uploads)
        small = bytes(waiting)

        def put_small() -> None:
            with store_errors():
                self._bucket.client.put_object(**self._bucket.at(key), Body=small)

        finish = uploads[0].finish if uploads else put_small
        return _Received(f"sha256:{digest.hexdigest()}", size, finish)

    def _send(self, key: str, content: bytes, uploads: list[_Upload]) -> None:
        try:
            with store_errors():
                if not uploads:
                    uploads.append(_Upload(self._bucket, key))
                uploads[0].send(content)
        except FileNotFoundError:
            raise Unavailable("The file was deleted while it came.", hint="Announce it again.") from None

    def open(self, file: str) -> IO[bytes]:
        """Return the bytes, to be closed by the caller. Raises FileNotFoundError."""
        return ObjectReader.of(self._bucket, _key(file))

    def delete(self, file: str) -> None:
        """Delete the bytes and what is left of attempts to send them; repeating it is no error."""
        place = self._bucket.at(_key(file))
        client = self._bucket.client
        with store_errors():
            client.delete_object(**place)
            pages = client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=place["Bucket"], Prefix=place["Key"]):
                for left in page.get("Uploads", ()):
                    if left["Key"] == place["Key"]:
                        with suppress(FileNotFoundError), store_errors():
                            client.abort_multipart_upload(**place, UploadId=left["UploadId"])


def _key(file: str) -> str:
    if not _ID.fullmatch(file):
        raise FileNotFoundError(f"{file[:80]!r} is no file's id")
    return f"files/{file}"
