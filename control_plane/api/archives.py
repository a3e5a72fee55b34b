"""Archives in and out. Reading hostile ones is the builders' business; here their refusal becomes ours."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from typing import ClassVar, Final

from flask import Response

from builders.archive import read_archive
from builders.errors import BuildError
from control_plane.errors import Invalid, TooLarge

__all__ = ["ARCHIVE_TYPES", "ArchiveRefused", "archive_response", "unpacked"]

ARCHIVE_TYPES: Final = frozenset(
    {"application/gzip", "application/x-gzip", "application/x-tar", "application/zip"}
)


class ArchiveRefused(Invalid):
    """The archive holds something that a draft may not hold."""

    code: ClassVar[str] = "archive_refused"


def unpacked(content: bytes) -> dict[str, bytes]:
    """Return path -> bytes of an uploaded archive. Raises ArchiveRefused or TooLarge."""
    try:
        files = read_archive(content)
    except BuildError as error:
        refusal = TooLarge if error.code == "archive_too_large" else ArchiveRefused
        raise refusal(error.message, field=error.field, hint=error.hint) from error
    if not files:
        # Some bytes read as an archive without members; they must not empty a draft.
        raise ArchiveRefused("The archive holds no files.", hint="Send a tar, gzipped tar or zip.")
    return files


def archive_response(files: Mapping[str, bytes], name: str) -> Response:
    """Answer with a gzipped tar; the same files give the same bytes."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for path in sorted(files):
            member = tarfile.TarInfo(path)
            member.size = len(files[path])
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(files[path]))
    response = Response(packed.getvalue(), content_type="application/gzip")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.tar.gz"'
    return response
