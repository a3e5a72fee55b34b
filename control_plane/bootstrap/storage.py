"""Where objects live: folders of this machine, or a bucket when `storage.bucket` names one."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from builders.build import Folders
from control_plane.adapters.embedded.blobs import FolderBlobs
from control_plane.adapters.embedded.contents import FolderContents
from control_plane.adapters.embedded.file_bytes import FolderFileBytes
from control_plane.bootstrap.named_files import named_file
from control_plane.errors import Invalid
from control_plane.ports import Blobs, Contents, FileBytes
from control_plane.settings import Settings
from control_plane.settings_storage import Storage

# The client of S3 takes a third of a second to load, which one machine has no use for.
if TYPE_CHECKING:
    from control_plane.adapters.cluster.bucket import Bucket, BucketAccess
    from control_plane.adapters.cluster.s3_layers import S3Layers

__all__ = [
    "bucket_access",
    "build_folders",
    "ensure_bucket",
    "make_blobs",
    "make_contents",
    "make_file_bytes",
    "make_layers",
]


def build_folders(settings: Settings) -> Folders:
    """Return where this machine builds and unpacks."""
    return Folders(settings.data / "blobs", settings.data / "layers", settings.data / "cache")


def make_blobs(settings: Settings) -> Blobs:
    """Return who keeps content."""
    if not settings.storage.bucket:
        return FolderBlobs(settings.data / "blobs")
    from control_plane.adapters.cluster.s3_blobs import S3Blobs

    return S3Blobs(_bucket(settings.storage))


def make_contents(settings: Settings) -> Contents:
    """Return how content that nobody needs is found and removed."""
    here = FolderContents(settings.data / "blobs", settings.data / "layers")
    if not settings.storage.bucket:
        return here
    from control_plane.adapters.cluster.s3_contents import S3Contents

    return S3Contents(_bucket(settings.storage), here)


def make_file_bytes(settings: Settings) -> FileBytes:
    """Return who keeps the bytes of files."""
    if not settings.storage.bucket:
        return FolderFileBytes(settings.data / "files")
    from control_plane.adapters.cluster.s3_file_bytes import S3FileBytes

    return S3FileBytes(_bucket(settings.storage))


def ensure_bucket(settings: Settings) -> None:
    """Make the bucket unless it is there, before any process needs it."""
    if settings.storage.bucket:
        _bucket(settings.storage).ensure()


def make_layers(settings: Settings) -> S3Layers | None:
    """Return who keeps built images beyond this machine; None where its folders are all there is."""
    if not settings.storage.bucket:
        return None
    from control_plane.adapters.cluster.s3_blobs import S3Blobs
    from control_plane.adapters.cluster.s3_layers import S3Layers

    return S3Layers(S3Blobs(_bucket(settings.storage)), build_folders(settings))


@lru_cache(maxsize=4)
def _bucket(storage: Storage) -> Bucket:
    """Return the bucket; one client for each process."""
    from control_plane.adapters.cluster.bucket import Bucket

    return Bucket(bucket_access(storage))


def bucket_access(storage: Storage) -> BucketAccess:
    """Return where the bucket is and Ingot's key to it. Raises Invalid, naming the setting."""
    from control_plane.adapters.cluster.bucket import BucketAccess

    if storage.endpoint and not storage.endpoint.startswith(("http://", "https://")):
        raise Invalid(
            "The object store's address begins with neither https:// nor http://.", field="storage.endpoint"
        )
    if storage.prefix and not storage.prefix.endswith("/"):
        raise Invalid("storage.prefix does not end in a slash.", field="storage.prefix")
    secret = named_file("storage.secret_key_file", storage.secret_key_file).decode().strip()
    if bool(secret) != bool(storage.access_key):
        raise Invalid(
            "Of the object store's key, one half is set and the other is not.",
            field="storage.secret_key_file",
            hint="Set storage.access_key and storage.secret_key_file, or neither.",
        )
    return BucketAccess(
        bucket=storage.bucket,
        endpoint=storage.endpoint.rstrip("/"),
        region=storage.region,
        prefix=storage.prefix,
        access_key=storage.access_key,
        secret_key=secret,
        ca_file=storage.ca_file,
        timeout_s=storage.timeout_s,
    )
