"""Ids and names: a noun's prefix and 26 base32 characters that sort by time.

Clock and entropy are given by the caller, so that this module stays pure.
"""

from __future__ import annotations

import re
from typing import Final

from control_plane.errors import Invalid

__all__ = ["NAME_PATTERN", "PREFIXES", "RESERVED_NAMES", "check_name", "made_ms", "make_id"]

# One prefix for each noun; an id's prefix is how a log line says what it names.
PREFIXES: Final = {
    "organization": "org",
    "department": "dep",
    "project": "prj",
    "user": "usr",
    "session": "ses",
    "token": "tok",
    "function": "fn",
    "version": "ver",
    "review": "rev",
    "comment": "cmt",
    "release": "rel",
    "export": "exp",
    "api_key": "key",
    "setting": "set",
    "test_run": "run",
    "preview": "pvw",
    "file": "file",
    "share": "shr",
    "event": "evt",
    "audit_entry": "aud",
    "request": "req",
}

# Crockford's alphabet: no I, L, O or U, so that an id survives being read aloud.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
NAME_PATTERN: Final = "[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?"
_NAME: Final = re.compile(NAME_PATTERN)

# Names that are, or may become, path segments of the gateway or the console.
RESERVED_NAMES: Final = frozenset(
    {
        "admin",
        "api",
        "assets",
        "current",
        "docs",
        "healthz",
        "ingot",
        "livez",
        "me",
        "metrics",
        "new",
        "readyz",
        "system",
    }
)


def make_id(noun: str, now_ms: int, random_80_bits: int) -> str:
    """Return e.g. `fn_01k…`: 48 bits of milliseconds, then 80 random bits.

    `now_ms` is Unix time in milliseconds. Raises KeyError for an unknown noun.
    """
    number = (now_ms & (1 << 48) - 1) << 80 | random_80_bits & (1 << 80) - 1
    digits = [_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)]
    return f"{PREFIXES[noun]}_{''.join(digits)}"


def made_ms(identifier: str) -> int:
    """Return when an id of `make_id` was made, in Unix milliseconds. Raises ValueError for another text."""
    digits = identifier.rpartition("_")[2]
    if len(digits) != 26:
        raise ValueError(f"{identifier!r} is no id")
    number = 0
    for digit in digits:
        number = number << 5 | _ALPHABET.index(digit)
    return number >> 80


def check_name(name: str, field: str = "name") -> str:
    """Return `name` when it may name an organization, project or function."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"“{name[:60]}” is not a usable name.",
            field=field,
            hint="Use 1-40 lower-case letters, digits, hyphens; begin with a letter, end with no hyphen.",
        )
    if name in RESERVED_NAMES:
        raise Invalid(f"“{name}” is reserved.", field=field, hint="Choose another name.")
    return name
