"""Reads the wanted state: strict, total, pure.

The file is written by another process; a malformed one is refused as a whole
with the place and the reason, and the state in force stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from control_plane.domain.desired import HostState, HostTarget, Limits
from control_plane.errors import Invalid

__all__ = ["parse_state", "parse_target"]

_TARGET_ID = re.compile(r"t[0-9a-f]{16}")
# Other names become folder names and log fields: no separators, no dots in front.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_RUNTIME = re.compile(r"[a-z]{2,10}[0-9]{1,3}(\.[0-9]{1,3})?")
_HANDLER = re.compile(r"[A-Za-z_][\w.]{0,200}:[A-Za-z_][\w.]{0,100}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_KINDS = ("handler", "asgi", "wsgi")
_BOUNDS = {
    "memory_mb": (16, 1 << 20),
    "timeout_ms": (1, 24 * 3_600_000),
    "concurrency": (1, 1000),
    "instances": (1, 1000),
}
_STRING_MAPS = ("layers", "settings", "secrets")


def parse_state(text: bytes | str) -> HostState:
    """Return the state. Raises Invalid that names the JSON pointer at fault."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _wrong("", f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _wrong("", "not an object")
    if document.get("format") != 1:
        raise _wrong("/format", f"is {document.get('format')!r}, this host reads format 1")
    epoch = document.get("epoch")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
        raise _wrong("/epoch", "must be a whole number that is not negative")
    found = document.get("targets")
    if not isinstance(found, list):
        raise _wrong("/targets", "must be a list")
    targets = tuple(parse_target(entry, f"/targets/{index}") for index, entry in enumerate(found))
    if len({target.id for target in targets}) != len(targets):
        raise _wrong("/targets", "names a target twice")
    return HostState(epoch, targets)


def parse_target(entry: Any, where: str = "") -> HostTarget:
    """Return one target. Raises Invalid that names the field."""
    if not isinstance(entry, dict):
        raise _wrong(where, "must be an object")
    types = get_type_hints(HostTarget)
    unknown = sorted(set(entry) - set(types))
    if unknown:
        raise _wrong(f"{where}/{unknown[0]}", "is no field of a target")
    values = dict(entry)
    for field in fields(HostTarget):
        kind = types[field.name]
        if kind in {str, int, bool} and field.name in values and type(values[field.name]) is not kind:
            raise _wrong(f"{where}/{field.name}", f"must be {_called(kind)}")
    for name in _STRING_MAPS:
        if name in values:
            _check_strings(values[name], f"{where}/{name}")
    values["limits"] = _limits(values.get("limits", {}), f"{where}/limits")
    try:
        target = HostTarget(**values)
    except TypeError as error:
        missing = [name for name in types if name not in values and name in str(error)]
        raise _wrong(f"{where}/{missing[0] if missing else ''}", "is missing") from error
    _check_target(target, where)
    return target


def _check_target(target: HostTarget, where: str) -> None:
    for name, pattern in (
        ("id", _TARGET_ID),
        ("organization", _NAME),
        ("function", _NAME),
        ("version", _NAME),
        ("runtime", _RUNTIME),
        ("handler", _HANDLER),
        ("digest", _DIGEST),
    ):
        if not pattern.fullmatch(getattr(target, name)):
            raise _wrong(
                f"{where}/{name}", f"{getattr(target, name)[:80]!r} is not of the form {pattern.pattern}"
            )
    if target.kind not in _KINDS:
        raise _wrong(f"{where}/kind", f"must be one of {', '.join(_KINDS)}")
    if "function" not in target.layers:
        raise _wrong(f"{where}/layers", "has no layer “function”")
    for role, digest in target.layers.items():
        if not _DIGEST.fullmatch(digest):
            raise _wrong(f"{where}/layers/{role}", "must be sha256: and 64 hex digits")


def _limits(entry: Any, where: str) -> Limits:
    if not isinstance(entry, dict):
        raise _wrong(where, "must be an object")
    for name, value in entry.items():
        if name not in _BOUNDS:
            raise _wrong(f"{where}/{name}", "is no limit")
        low, high = _BOUNDS[name]
        if type(value) is not int or not low <= value <= high:
            raise _wrong(f"{where}/{name}", f"must be a whole number from {low} to {high}")
    return Limits(**entry)


def _check_strings(value: Any, where: str) -> None:
    if not isinstance(value, Mapping):
        raise _wrong(where, "must be an object")
    for name, text in value.items():
        if not isinstance(text, str):
            raise _wrong(f"{where}/{name}", "must be a string")


def _called(kind: type) -> str:
    return {str: "a string", int: "a whole number", bool: "true or false"}[kind]


def _wrong(where: str, what: str) -> Invalid:
    return Invalid(
        f"The wanted state is refused: {where or 'the document'} {what}.",
        field=where,
        hint="The state in force stays. Publish again, or look for a worker of another release.",
    )
