"""Reads ingot.toml, the file in which a draft says what it is.

Pure. The format is documented in control_plane/docs/builders.md; every error
names the field at fault. What the code itself shows (kind, handler) is found
in `builders.detect`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builders.errors import BuildError

__all__ = ["KINDS", "LIMITS", "FunctionManifest", "read_manifest"]

KINDS = ("handler", "asgi", "wsgi")
# name -> (default, least, most); units are in the names.
LIMITS = {
    "memory_mb": (256, 64, 16_384),
    "timeout_ms": (30_000, 100, 900_000),
    "concurrency": (1, 1, 1_000),
    "instances": (4, 1, 1_000),
}
_KEYS = (
    "name", "description", "runtime", "kind", "handler", "streaming", "settings", "secrets", "limits",
    "public", "own_authentication", "unsandboxed_page", "body_limit", "cors_origins",
)  # fmt: skip
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")
_RUNTIME = re.compile(r"python3\.(\d{1,2})")
_HANDLER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]{1,253}(?::[0-9]{1,5})?")
BODY_LIMIT = (6_000_000, 1, 100_000_000)
OLDEST_MINOR = 11


@dataclass(frozen=True, slots=True)
class FunctionManifest:
    """What ingot.toml says, checked.

    `kind` and `handler` may be empty: then the code decides. So may `runtime`:
    then the first lock decides, and says so.
    """

    name: str
    description: str
    runtime: str
    kind: str
    handler: str
    streaming: bool
    limits: Mapping[str, int]
    settings: tuple[str, ...]
    secrets: tuple[str, ...]
    # What the gateway does for this function; all of it is reviewed.
    public: bool
    own_authentication: bool
    unsandboxed_page: bool
    body_limit: int
    cors_origins: tuple[str, ...]


def read_manifest(files: Mapping[str, bytes]) -> FunctionManifest:
    """Return the draft's manifest, or an error that names the wrong field."""
    document = _document(files.get("ingot.toml"))
    for key in document:
        if key not in _KEYS:
            raise _invalid(key, f"is unknown; known are {', '.join(_KEYS)}")
    settings = _names(document, "settings")
    secrets = _names(document, "secrets")
    for name in settings:
        if name in secrets:
            raise _invalid("secrets", f"and settings both name {name}")
    return FunctionManifest(
        name=_matching(document, "name", _NAME, "1 to 40 lower-case letters, digits and inner hyphens"),
        description=_text(document, "description"),
        runtime=_runtime(document),
        kind=_kind(document),
        handler=_matching(document, "handler", _HANDLER, "`module:attribute`"),
        streaming=_flag(document, "streaming"),
        limits=_limits(document.get("limits", {})),
        settings=settings,
        secrets=secrets,
        public=_flag(document, "public"),
        own_authentication=_flag(document, "own_authentication"),
        unsandboxed_page=_flag(document, "unsandboxed_page"),
        body_limit=_whole(document, "body_limit", BODY_LIMIT),
        cors_origins=_origins(document),
    )


def _document(content: bytes | None) -> dict[str, Any]:
    if content is None:
        raise BuildError(
            "manifest_invalid",
            "The draft has no ingot.toml.",
            field="ingot.toml",
            hint="Add one; an empty file is enough when main.py has `def execute(input, context)`.",
        )
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BuildError(
            "manifest_invalid", f"ingot.toml is not TOML: {str(error)[:200]}.", field="ingot.toml"
        ) from None


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str) or len(value) > 2_000:
        raise _invalid(key, "must be a text of at most 2,000 characters")
    return value


def _matching(document: dict[str, Any], key: str, pattern: re.Pattern[str], form: str) -> str:
    value = _text(document, key)
    if value and not pattern.fullmatch(value):
        raise _invalid(key, f"is {value[:80]!r}; it must be {form}")
    return value


def _runtime(document: dict[str, Any]) -> str:
    value = _text(document, "runtime")
    match = _RUNTIME.fullmatch(value)
    if value == "":
        return value
    if not match or int(match[1]) < OLDEST_MINOR or value != f"python3.{int(match[1])}":
        raise _invalid(
            "runtime",
            f"is {value[:80]!r}; it must name a minor from python3.{OLDEST_MINOR} on, as in python3.11",
        )
    return value


def _kind(document: dict[str, Any]) -> str:
    value = _text(document, "kind")
    if value and value not in KINDS:
        raise _invalid("kind", f"is {value[:80]!r}; it must be one of {', '.join(KINDS)}")
    return value


def _flag(document: dict[str, Any], key: str) -> bool:
    value = document.get(key, False)
    if not isinstance(value, bool):
        raise _invalid(key, "must be true or false")
    return value


def _whole(table: dict[str, Any], key: str, rule: tuple[int, int, int], prefix: str = "") -> int:
    default, least, most = rule
    value = table.get(key, default)
    # True is an int to Python, not to an author.
    if type(value) is not int or not least <= value <= most:
        raise _invalid(f"{prefix}{key}", f"must be a whole number from {least} to {most}")
    return value


def _origins(document: dict[str, Any]) -> tuple[str, ...]:
    value = document.get("cors_origins", [])
    if not isinstance(value, list) or len(value) > 50:
        raise _invalid("cors_origins", "must be a list of at most 50 origins")
    for number, origin in enumerate(value):
        if origin != "*" and not (isinstance(origin, str) and _ORIGIN.fullmatch(origin)):
            raise _invalid(f"cors_origins[{number}]", 'must be "*" or an origin as in https://shop.example')
    return tuple(sorted(set(value)))


def _names(document: dict[str, Any], key: str) -> tuple[str, ...]:
    value = document.get(key, [])
    if not isinstance(value, list) or len(value) > 100:
        raise _invalid(key, "must be a list of at most 100 names")
    for number, name in enumerate(value):
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise _invalid(
                f"{key}[{number}]", "must be capital letters, digits and underscores, as in API_TOKEN"
            )
        if name.startswith("INGOT_"):
            raise _invalid(f"{key}[{number}]", f"is {name}; names that start with INGOT_ are the platform's")
    if len(set(value)) != len(value):
        raise _invalid(key, "names one thing twice")
    return tuple(sorted(value))


def _limits(table: Any) -> dict[str, int]:
    if not isinstance(table, dict):
        raise _invalid("limits", "must be a table")
    for key in table:
        if key not in LIMITS:
            raise _invalid(f"limits.{key}", f"is unknown; known are {', '.join(LIMITS)}")
    return {key: _whole(table, key, rule, "limits.") for key, rule in LIMITS.items()}


def _invalid(key: str, what: str) -> BuildError:
    return BuildError(
        "manifest_invalid",
        f"ingot.toml: `{key}` {what}.",
        field=f"ingot.toml:{key}",
        hint="The format of ingot.toml is in the builders guide.",
    )
