"""The Contents port over an S3 store, with the folders of this machine that hold copies of it.

How a sweep and those who rely on an object see each other stands in `s3_blobs`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from control_plane.adapters.cluster.bucket import Bucket, store_errors
from control_plane.adapters.cluster.s3_blobs import BLOBS, MARKS
from control_plane.domain.retention import Content
from control_plane.ports import Contents

__all__ = ["S3Contents"]

_HEX: Final = frozenset("0123456789abcdef")
# A store may tell an object's age in whole seconds only.
_SECOND_MS: Final = 1000


class S3Contents:
    """Blobs in the bucket; layers, and blobs that are copies, in the folders of `here`."""

    def __init__(self, bucket: Bucket, here: Contents) -> None:
        self._bucket = bucket
        self._here = here

    def untouched_since(self, before_ms: int) -> Iterator[Content]:
        """Yield what nobody has written or relied on since then."""
        yield from self._here.untouched_since(before_ms)
        prefix = f"{self._bucket.prefix}{BLOBS}"
        with store_errors():
            pages = self._bucket.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket.name, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    name = entry["Key"].removeprefix(prefix)
                    if len(name) == 64 and _HEX.issuperset(name) and _touched_ms(entry) < before_ms:
                        yield Content("blob", f"sha256:{name}", int(entry["Size"]))

    def parts(self, image: str) -> frozenset[str]:
        """Return the digests that an image's manifest names; none when it is no image, or gone."""
        if found := self._here.parts(image):
            return found
        place = self._bucket.at(f"{BLOBS}{image.removeprefix('sha256:')}")
        try:
            with store_errors():
                manifest = json.loads(self._bucket.client.get_object(**place)["Body"].read())
            return frozenset({manifest["config"]["digest"], *(one["digest"] for one in manifest["layers"])})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return frozenset()

    def remove(self, content: Content, before_ms: int) -> bool:
        """Remove one unless somebody has relied on it since `before_ms`, or does now."""
        here = self._here.remove(content, before_ms)
        if content.kind != "blob":
            return here
        name = content.digest.removeprefix("sha256:")
        place, mark = self._bucket.at(f"{BLOBS}{name}"), self._bucket.at(f"{MARKS}{name}")
        with store_errors():
            self._bucket.client.put_object(**mark, Body=b"")
            try:
                return self._remove_old(place, before_ms) or here
            finally:
                self._bucket.client.delete_object(**mark)

    def _remove_old(self, place: dict[str, str], before_ms: int) -> bool:
        try:
            with store_errors():
                found = self._bucket.client.head_object(**place)
        except FileNotFoundError:
            return False
        if _touched_ms(found) >= before_ms:
            return False
        self._bucket.client.delete_object(**place)
        return True


def _touched_ms(entry: dict[str, Any]) -> int:
    """Return the latest moment at which the object may have been written."""
    return int(entry["LastModified"].timestamp()) * 1000 + _SECOND_MS - 1
