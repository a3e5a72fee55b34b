"""Files: large inputs and outputs of functions, the signed addresses of their bytes, and a project's quota.

Pure: keys and times are given by the caller; the bytes are an adapter's business.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Final

from control_plane.errors import Conflict, Forbidden, Invalid, TooLarge

__all__ = [
    "DOWNLOAD_MS",
    "MEDIA_TYPES",
    "UPLOAD_MS",
    "File",
    "FileLink",
    "FileState",
    "FileWish",
    "LinkRefused",
    "LinkUsed",
    "Quota",
    "QuotaExceeded",
    "UploadRefused",
    "link_for",
    "open_link",
    "refused",
    "stored_media_type",
]

# How long a signed address counts. A sender who is still sending at the end is cut off.
UPLOAD_MS: Final = 15 * 60_000
DOWNLOAD_MS: Final = 5 * 60_000
_DAY_MS: Final = 86_400_000
_LONGEST_DAYS: Final = 365

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MEDIA_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,100}")

# Types that a browser shows or saves and never runs. Every other one is served as mere bytes.
MEDIA_TYPES: Final = frozenset(
    {
        "application/gzip",
        "application/json",
        "application/octet-stream",
        "application/pdf",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/zip",
        "audio/mpeg",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/plain",
        "video/mp4",
    }
)


class FileState(StrEnum):
    """Where a file stands."""

    # Announced; its bytes have not come yet.
    WAITING = "waiting"
    STORED = "stored"
    # Nobody sees it any more; its bytes are being deleted.
    REMOVED = "removed"


class LinkRefused(Forbidden):
    """The signed address is changed, expired or not for this."""

    code = "link_refused"


class LinkUsed(Conflict):
    """The bytes for this address have come already."""

    code = "link_used"


class QuotaExceeded(Conflict):
    """The project holds as much as it may."""

    code = "quota_exceeded"


class UploadRefused(Invalid):
    """The bytes are not those that were announced."""

    code = "upload_refused"


@dataclass(frozen=True, slots=True)
class FileWish:
    """What somebody announces to send."""

    name: str
    size: int
    media_type: str = "application/octet-stream"
    # Of the whole content, where the sender knows it.
    digest: str = ""
    days: int = 30

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 200 or not self.name.isprintable() or set(self.name) & set('/\\"'):
            raise Invalid(
                "A file's name has 1 to 200 printable characters, no slash and no quotation mark.",
                field="name",
            )
        if self.size < 0:
            raise Invalid("A size is not negative.", field="size")
        if not _MEDIA_TYPE.fullmatch(self.media_type):
            raise Invalid("A content type is like text/csv, without parameters.", field="content_type")
        if self.digest and not _DIGEST.fullmatch(self.digest):
            raise Invalid("A digest is sha256: and 64 hexadecimal digits.", field="sha256")
        if not 1 <= self.days <= _LONGEST_DAYS:
            raise Invalid(f"A file is kept 1 to {_LONGEST_DAYS} days.", field="days")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a project."""

    id: str
    organization: str
    project: str
    name: str
    media_type: str
    size: int
    # As announced, empty if it was not; of the bytes themselves once they are stored.
    digest: str
    state: FileState
    created_by: str
    created_ms: int
    expires_ms: int
    # When the worker deletes it: a file whose bytes never came goes soon.
    due_ms: int

    def stored(self, digest: str) -> File:
        """Return it with its bytes there."""
        if self.state is not FileState.WAITING:
            raise LinkUsed("The bytes of this file have come already.", hint="Announce another file.")
        return replace(self, state=FileState.STORED, digest=digest, due_ms=self.expires_ms)

    def removed(self, now_ms: int) -> File:
        """Return it as nobody sees it any more."""
        return replace(self, state=FileState.REMOVED, due_ms=now_ms)

    def check(self, size: int, digest: str) -> None:
        """Refuse bytes that are not those that were announced."""
        if size != self.size:
            raise UploadRefused(
                f"{size:,} bytes came; {self.size:,} were announced.",
                field="size",
                hint="Send the whole file.",
            )
        if self.digest and digest != self.digest:
            raise UploadRefused(
                f"The bytes are {digest}, announced were {self.digest}.",
                field="sha256",
                hint="Send it again.",
            )


@dataclass(frozen=True, slots=True)
class Quota:
    """What the files of one project may take."""

    largest_bytes: int
    total_bytes: int
    count: int

    def admit(self, size: int, used_bytes: int, used_count: int) -> None:
        """Refuse a file that does not fit beside those that are there or announced."""
        if size > self.largest_bytes:
            raise TooLarge(
                f"The file has {size:,} bytes; {self.largest_bytes:,} is the most.",
                field="size",
                hint="Split it, or ask the operator for a higher files.largest_mb.",
            )
        if used_count >= self.count:
            raise QuotaExceeded(
                f"The project has {used_count:,} files; {self.count:,} is the most.",
                field="project",
                hint="Delete files that are not needed any more.",
            )
        if used_bytes + size > self.total_bytes:
            raise QuotaExceeded(
                f"The project's files have {used_bytes:,} bytes of {self.total_bytes:,}; "
                f"{size:,} more do not fit.",
                field="size",
                hint="Delete files that are not needed any more.",
            )


@dataclass(frozen=True, slots=True)
class FileLink:
    """A signed address of a file's bytes: whoever has it may use it until it ends."""

    method: str
    path: str
    expires_ms: int
    signature: str

    @property
    def query(self) -> Mapping[str, str]:
        """What stands behind the question mark."""
        return {"expires": str(self.expires_ms), "signature": self.signature}


def link_for(key: bytes, file: File, method: str, expires_ms: int) -> FileLink:
    """Return the address that lets its holder PUT or GET this file's bytes until it ends."""
    path = f"/api/v1/files/{file.id}/content"
    return FileLink(method, path, expires_ms, _sign(key, file, method, expires_ms))


def open_link(key: bytes, file: File, method: str, query: Mapping[str, str], now_ms: int) -> int:
    """Return when the address ends. Raises LinkRefused unless this key made it for exactly this."""
    expires = query.get("expires", "")
    # Not every digit that Python reads is one that was signed.
    expires_ms = int(expires) if expires.isascii() and expires.isdecimal() and len(expires) <= 15 else 0
    expected = _sign(key, file, method, expires_ms)
    if not hmac.compare_digest(expected.encode(), query.get("signature", "").encode()):
        raise refused()
    if now_ms >= expires_ms:
        raise LinkRefused("This address has expired.", hint="Ask for a new one.")
    return expires_ms


def refused() -> LinkRefused:
    """Return the one answer to every address that was not handed out, so that none tells what exists."""
    return LinkRefused("This address is not one that was handed out.", hint="Use it unchanged, or ask again.")


def stored_media_type(media_type: str) -> str:
    """Return the type that the bytes are served as."""
    return media_type if media_type in MEDIA_TYPES else "application/octet-stream"


def _sign(key: bytes, file: File, method: str, expires_ms: int) -> str:
    # The size is bound so that an address for a small file is never one for a large one.
    parts = ("ingot file link 1", method, file.organization, file.id, str(file.size), str(expires_ms))
    return hmac.new(key, "\0".join(parts).encode(), sha256).hexdigest()
