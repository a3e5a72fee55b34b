"""Packs a draft's or version's files for download. Reading archives is the builders' business."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from typing import Final

from flask import Response

__all__ = ["ARCHIVE_TYPES", "archive_response"]

ARCHIVE_TYPES: Final = frozenset(
    {"application/gzip", "application/x-gzip", "application/x-tar", "application/zip"}
)


def archive_response(files: Mapping[str, bytes], name: str) -> Response:
    """Answer with a gzipped tar; the same files give the same bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(
        fileobj=zipped, mode="w"
    ) as tar:
        for path in sorted(files):
            member = tarfile.TarInfo(path)
            member.size = len(files[path])
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(files[path]))
    response = Response(packed.getvalue(), content_type="application/gzip")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.tar.gz"'
    return response
