"""The hash of an Ingress's spec as Knative computes it: SHA-256 of Go's JSON, namespace and name.

Go writes a struct's fields in the order of their declaration, leaves out what is
empty where the field says so, sorts maps and escapes <, > and &.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["spec_hash"]

_Shape = Callable[[Any], Any]


def _as_it_is(value: Any) -> Any:
    return value


def _sorted(value: Any) -> Any:
    return dict(sorted(value.items())) if isinstance(value, Mapping) else value


def _each(shape: _Shape) -> _Shape:
    return lambda value: [shape(each) for each in value] if isinstance(value, list) else value


def _struct(always: tuple[str, ...], **fields: _Shape) -> _Shape:
    """Return the shape of a struct; `always` names the fields that are written even when empty."""

    def shaped(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            name: shape(value.get(name))
            for name, shape in fields.items()
            if name in always or value.get(name) not in (None, "", 0, [], {})
        }

    return shaped


_HEADER_MATCH = _struct(("exact",), exact=lambda value: value or "")
_SPLIT = _struct(
    ("serviceNamespace", "serviceName", "servicePort"),
    serviceNamespace=lambda value: value or "",
    serviceName=lambda value: value or "",
    servicePort=lambda value: value or 0,
    percent=_as_it_is,
    appendHeaders=_sorted,
)
_PATH = _struct(
    ("splits",),
    path=_as_it_is,
    rewriteHost=_as_it_is,
    headers=lambda value: (
        {name: _HEADER_MATCH(match) for name, match in _sorted(value).items()}
        if isinstance(value, Mapping)
        else value
    ),
    splits=_each(_SPLIT),
    appendHeaders=_sorted,
)


def _http(value: Any) -> Any:
    # A pointer to a struct: there when it is set, however empty.
    return {"paths": _each(_PATH)(value.get("paths"))} if isinstance(value, Mapping) else value


_TLS = _struct((), hosts=_as_it_is, secretName=_as_it_is, secretNamespace=_as_it_is)


def _rule(value: Any) -> Any:
    shaped = _struct((), hosts=_as_it_is, visibility=_as_it_is)(value)
    if isinstance(value, Mapping) and value.get("http") is not None:
        shaped["http"] = _http(value["http"])
    return shaped


_SPEC = _struct((), tls=_each(_TLS), rules=_each(_rule), httpOption=_as_it_is)

_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def spec_hash(spec: Mapping[str, Any], namespace: str, name: str) -> str:
    """Return the hash in hexadecimal."""
    written = json.dumps(_SPEC(spec), separators=(",", ":"), ensure_ascii=False).translate(_ESCAPES)
    return hashlib.sha256((written + namespace + name).encode("utf-8", "replace")).hexdigest()
