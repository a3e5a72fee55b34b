"""One bucket of an S3 store, and what its errors mean here. Nothing but `adapters.cluster.s3_*` uses it.

What is kept in the bucket, and under which names, is the business of those modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from control_plane.errors import Unavailable

__all__ = ["Bucket", "BucketAccess", "store_errors"]

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NotFound"})
_FULL: Final = frozenset({"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "507"})
_REFUSED: Final = frozenset({"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
_ATTEMPTS: Final = 4
# Every thread of the api may be in the middle of a file.
_CONNECTIONS: Final = 32


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """Where a bucket is and who may use it."""

    bucket: str
    # Empty: AWS itself, in the region.
    endpoint: str = ""
    region: str = ""
    # Begins the name of every object; empty, or ends in a slash.
    prefix: str = ""
    # Both empty: what the machine's own surroundings give (role, profile, environment).
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    ca_file: str = ""
    # Longest silence of the store, and longest wait for a connection.
    timeout_s: float = 20.0


class Bucket:
    """A bucket below a prefix. Shared by threads."""

    def __init__(self, access: BucketAccess) -> None:
        self.name = access.bucket
        self.prefix = access.prefix
        config = Config(
            connect_timeout=min(5.0, access.timeout_s),
            read_timeout=access.timeout_s,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=_CONNECTIONS,
            signature_version="s3v4",
            # A store of one's own rarely has a host name for each bucket.
            s3={"addressing_style": "path" if access.endpoint else "auto"},
        )
        self.client: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=access.endpoint or None,
            region_name=access.region or None,
            aws_access_key_id=access.access_key or None,
            aws_secret_access_key=access.secret_key or None,
            verify=access.ca_file or None,
            config=config,
        )

    def at(self, key: str) -> dict[str, str]:
        """Return what names an object in every request."""
        return {"Bucket": self.name, "Key": f"{self.prefix}{key}"}

    def ensure(self) -> None:
        """Make the bucket unless it is there. Raises Unavailable when it is neither there nor can be made."""
        with store_errors():
            try:
                # A key that reaches the prefix alone may ask for no more than this.
                self.client.list_objects_v2(Bucket=self.name, Prefix=self.prefix, MaxKeys=1)
            except self.client.exceptions.NoSuchBucket:
                self.client.create_bucket(Bucket=self.name, **self._region())

    def _region(self) -> dict[str, Any]:
        region = self.client.meta.region_name
        # The one region that must not be named.
        plain = region in {None, "us-east-1"}
        return {} if plain else {"CreateBucketConfiguration": {"LocationConstraint": region}}


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn the store's errors into ours: FileNotFoundError for what is absent, else Unavailable."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _ABSENT:
            raise FileNotFoundError(code) from None
        raise _unavailable(code) from error
    except (BotoCoreError, HTTPError, TimeoutError, ConnectionError) as error:
        raise Unavailable(
            f"The object store does not answer ({type(error).__name__}).", hint="Try again in a moment."
        ) from error


def _unavailable(code: str) -> Unavailable:
    if code in _FULL:
        return Unavailable(
            f"There is no room for this in the object store ({code}).",
            hint="Tell the operator, then try again.",
        )
    if code in _REFUSED:
        return Unavailable(
            f"The object store refuses Ingot ({code}).",
            hint="Check storage.access_key, its secret and what the key may do with the bucket.",
        )
    if code == "PreconditionFailed":
        return Unavailable("The object was changed while it was read.", hint="Read it again.")
    if code == "NoSuchBucket":
        return Unavailable("The object store has no such bucket.", hint="Make it, or set storage.bucket.")
    return Unavailable(f"The object store answers with an error ({code}).", hint="Try again in a moment.")
