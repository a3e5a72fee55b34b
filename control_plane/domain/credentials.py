"""Texts that prove something: sessions, personal tokens, API keys.

Every text is `<prefix>_<id>_<secret>_<checksum>`: scanners recognise the
prefix, the checksum refuses typing errors before any look-up, and only the
SHA-256 of the whole text is ever stored. 256 random bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from control_plane.domain.access import Restriction
from control_plane.errors import Invalid

__all__ = [
    "ApiKey",
    "Credential",
    "CredentialKind",
    "KeyKind",
    "KeyMode",
    "PreviousSecret",
    "checksum",
    "make_text",
    "parse_text",
    "sha256_hex",
]

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH: Final = 8
# 43 base62 digits hold 256 bits.
_SECRET_LENGTH: Final = 43
_CHECKSUM_LENGTH: Final = 6


class CredentialKind(StrEnum):
    """What a text in the `credentials` table is for; the value is its prefix."""

    SESSION = "ings"
    TOKEN = "ingt"  # noqa: S105
    # The first owner's link; used once.
    CLAIM = "ingc"


class KeyKind(StrEnum):
    """Which releases' calls a key is for; the value is the prefix's second part."""

    LIVE = "live"
    TEST = "test"


class KeyMode(StrEnum):
    """A way of calling that a key may be bound to."""

    # Answered in one piece by a version that does not stream.
    SYNC = "sync"
    STREAM = "stream"
    # With `Prefer: respond-async`.
    ASYNC = "async"


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def checksum(body: str) -> str:
    """Return the six characters that end a text."""
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def make_text(prefix: str, random_304_bits: int) -> str:
    """Return a new text: 48 bits become its public id, 256 its secret."""
    identifier = _base62(random_304_bits >> 256, _ID_LENGTH)
    secret = _base62(random_304_bits & (1 << 256) - 1, _SECRET_LENGTH)
    body = f"{prefix}_{identifier}_{secret}"
    return f"{body}_{checksum(body)}"


def parse_text(text: str, prefix: str) -> str:
    """Return the public id inside a well-formed text with this prefix; refuse any other."""
    body, _, ending = text.rpartition("_")
    head, _, secret = body.rpartition("_")
    start, _, identifier = head.rpartition("_")
    well_formed = (
        start == prefix
        and len(identifier) == _ID_LENGTH
        and len(secret) == _SECRET_LENGTH
        and set(identifier + secret) <= set(_BASE62)
        and ending == checksum(body)
    )
    if not well_formed:
        raise Invalid("This credential is damaged or of another kind.", hint="Copy it again in full.")
    return identifier


def sha256_hex(text: str) -> str:
    """Return what is stored in place of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Credential:
    """A session or personal token of a user in one organization."""

    id: str
    kind: CredentialKind
    user: str
    organization: str
    name: str
    sha256: str
    # The public id inside the text, so that a person can tell two apart.
    hint: str
    created_ms: int
    expires_ms: int
    revoked_ms: int = 0
    # When it last proved something, to the minute; 0 until then.
    used_ms: int = 0
    # The network address that a session was opened from.
    address: str = ""
    # What a token carries of its owner's rights; None carries all.
    restriction: Restriction | None = None

    def valid(self, now_ms: int) -> bool:
        """Say whether it proves anything now."""
        return not self.revoked_ms and now_ms < self.expires_ms

    def revoke(self, now_ms: int) -> Credential:
        """Return it revoked; the first moment stays."""
        return replace(self, revoked_ms=self.revoked_ms or now_ms)


@dataclass(frozen=True, slots=True)
class PreviousSecret:
    """A key's secret before the last rotation."""

    hint: str
    valid_until_ms: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A caller's right to invoke functions. The gateway checks it, from a map of hashes."""

    id: str
    organization: str
    project: str
    name: str
    kind: KeyKind
    sha256: str
    hint: str
    # Ids of functions, or of projects for all their functions.
    scopes: tuple[str, ...]
    rate_10s: int
    concurrency: int
    created_by: str
    created_ms: int
    # 0 means never.
    expires_ms: int = 0
    revoked_ms: int = 0
    # When the gateway last ended the key's open sessions; 0 until then.
    cut_ms: int = 0
    # Its open sessions are to be ended: it was revoked, rotated at once, or lost a right.
    to_cut: bool = False
    # How it may call; empty means every way.
    modes: tuple[KeyMode, ...] = ()
    # Networks that it may call from; empty means everywhere.
    networks: tuple[str, ...] = ()
    # The secret before this one: hash and hint are empty, and the end 0, when there is none.
    previous_sha256: str = ""
    previous_hint: str = ""
    previous_until_ms: int = 0
    revision: int = 1

    @property
    def etag(self) -> str:
        """What a change must name as seen."""
        return f"k{self.revision}"

    @property
    def previous(self) -> PreviousSecret | None:
        """The secret before this one, if there is one."""
        if not self.previous_sha256:
            return None
        return PreviousSecret(self.previous_hint, self.previous_until_ms)

    def valid(self, now_ms: int) -> bool:
        """Say whether calls with it are let through now."""
        return not self.revoked_ms and (not self.expires_ms or now_ms < self.expires_ms)

    def revoke(self, now_ms: int) -> ApiKey:
        """Return it revoked, with its sessions to be ended; the first moment stays."""
        return replace(self, revoked_ms=self.revoked_ms or now_ms, to_cut=True, revision=self.revision + 1)

    def rotate(self, sha256: str, hint: str, until_ms: int, now_ms: int) -> ApiKey:
        """Return it with a new secret; the one before opens until `until_ms`, older ones no more.

        Without an overlap the open sessions of the old secret are to be ended.
        """
        until_ms = min(until_ms, self.expires_ms or until_ms)
        stays = until_ms > now_ms
        return replace(
            self,
            sha256=sha256,
            hint=hint,
            previous_sha256=self.sha256 if stays else "",
            previous_hint=self.hint if stays else "",
            previous_until_ms=until_ms if stays else 0,
            to_cut=self.to_cut or not stays,
            revision=self.revision + 1,
        )

    def forget_previous(self) -> ApiKey:
        """Return it with its newest secret alone; sessions of the one before are to be ended."""
        if not self.previous_sha256:
            return self
        return replace(
            self,
            previous_sha256="",
            previous_hint="",
            previous_until_ms=0,
            to_cut=True,
            revision=self.revision + 1,
        )
