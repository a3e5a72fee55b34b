"""A user of MinIO who reaches one part of one bucket and nothing else. Only MinIO knows these requests.

Nothing that runs needs this: an administrator makes the user once (`bootstrap.minio_user`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException
from urllib3.exceptions import HTTPError

from control_plane.adapters.cluster.bucket import BucketAccess
from control_plane.errors import Unavailable

__all__ = ["Administrator", "make_policy", "make_user"]

_OBJECTS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
_PARTS = ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who may make users and policies."""

    access_key: str
    secret_key: str = field(repr=False)


def make_policy(bucket: str, prefix: str) -> dict[str, Any]:
    """Return what Ingot's key may do: objects below the prefix, and their lists. Pure."""
    below = {"Condition": {"StringLike": {"s3:prefix": [f"{prefix}*"]}}} if prefix else {}
    place = f"arn:aws:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [place], **below},
            # MinIO knows no prefix for this one: names of uploads that are on their way are seen.
            {"Effect": "Allow", "Action": ["s3:ListBucketMultipartUploads"], "Resource": [place]},
            {"Effect": "Allow", "Action": [*_OBJECTS, *_PARTS], "Resource": [f"{place}/{prefix}*"]},
        ],
    }


def make_user(access: BucketAccess, administrator: Administrator) -> None:
    """Make the user of `access`, or change it to this secret and these rights. Raises Unavailable."""
    name = f"ingot-{hashlib.sha256(f'{access.bucket}/{access.prefix}'.encode()).hexdigest()[:16]}"
    admin = _admin(access, administrator)
    try:
        admin.policy_add(name, policy=make_policy(access.bucket, access.prefix))
        admin.user_add(access.access_key, access.secret_key)
        held = json.loads(admin.user_info(access.access_key)).get("policyName") or ""
        if others := [one for one in held.split(",") if one not in {"", name}]:
            admin.detach_policy(others, user=access.access_key)
        if name not in held.split(","):
            admin.attach_policy([name], user=access.access_key)
    except MinioAdminException as error:
        raise Unavailable(
            f"MinIO refuses to make the user ({_code(error)}).",
            hint="Check the administrator's key, and that the store is MinIO.",
        ) from error
    except (HTTPError, OSError) as error:
        raise Unavailable(
            f"The object store does not answer ({type(error).__name__}).", hint="Check storage.endpoint."
        ) from error


def _admin(access: BucketAccess, administrator: Administrator) -> MinioAdmin:
    place = urlsplit(access.endpoint)
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(access.timeout_s),
        retries=urllib3.Retry(2, backoff_factor=0.2),
        cert_reqs="CERT_REQUIRED",
        ca_certs=access.ca_file or None,
    )
    return MinioAdmin(
        endpoint=place.netloc,
        credentials=StaticProvider(administrator.access_key, administrator.secret_key),
        region=access.region,
        secure=place.scheme == "https",
        http_client=pool,
    )


def _code(error: MinioAdminException) -> str:
    """Return the answer's code; its text may hold what was sent."""
    try:
        return str(json.loads(error._body).get("Code", ""))[:60]
    except (ValueError, AttributeError, TypeError):
        return str(error._code)
