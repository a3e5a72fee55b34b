"""The headers of the OpenAPI document, read off the views: what a route takes and what its answers carry."""

from __future__ import annotations

from inspect import unwrap
from typing import Any, Final

from flask import Flask

from control_plane.api.idempotency import takes_key

__all__ = ["add_headers"]

_ETAG_PATTERN: Final = '^"[\\x21\\x23-\\x7e]+"$'
_IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "A repeat with the same key gets the first answer; a random UUID is right.",
    "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
}
_IF_MATCH: Final[dict[str, Any]] = {
    "in": "header",
    "name": "If-Match",
    "description": "The strong ETag that was seen.",
    "schema": {"type": "string", "pattern": _ETAG_PATTERN},
}
_ETAG: Final[dict[str, Any]] = {
    "description": "What If-Match must name to change what was seen.",
    "schema": {"type": "string", "pattern": _ETAG_PATTERN},
}
_REPLAYED: Final[dict[str, Any]] = {
    "description": "This is the first answer to the Idempotency-Key.",
    "schema": {"type": "string", "enum": ["true"]},
}
_REQUEST_ID: Final[dict[str, Any]] = {
    "description": "The request's id: the sent one, or a new one.",
    "required": True,
    "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,128}$"},
}


def add_headers(app: Flask, operation: dict[str, Any], endpoint: str) -> None:
    """Add the headers of a route to its description."""
    view = unwrap(app.view_functions[endpoint])
    parameters = operation.setdefault("parameters", [])
    answered: dict[str, Any] = {"X-Request-Id": _REQUEST_ID}
    if takes_key(app, endpoint):
        parameters.append(_IDEMPOTENCY_KEY)
        answered["Idempotency-Replayed"] = _REPLAYED
    if (required := _asks_for_etag(view)) is not None:
        parameters.append(_IF_MATCH | {"required": required})
    if any("with_etag" in names for names in _names(view)):
        answered["ETag"] = _ETAG
    for status, answer in operation["responses"].items():
        # What is refused or gone shows nothing that could be changed.
        told = answered if status.startswith("2") and status != "204" else {"X-Request-Id": _REQUEST_ID}
        if status == "400":
            # What cannot be read as HTTP never comes as far as an id.
            told = {"X-Request-Id": _REQUEST_ID | {"required": False}}
        answer["headers"] = {**answer.get("headers", {}), **told}


def _asks_for_etag(view: Any) -> bool | None:
    """Say whether a view must have If-Match, or only takes it; None when it does not look.

    It looks first whether it was sent where it can do without.
    """
    for names in _names(view):
        if "required_if_match" in names:
            return "headers" not in names
    return None


def _names(view: Any) -> list[tuple[str, ...]]:
    """Return the names that a view uses, and those that each helper does which it calls in its module."""
    seen: set[str] = set()
    todo, found = [view], []
    while todo:
        one = todo.pop()
        names: tuple[str, ...] = getattr(getattr(one, "__code__", None), "co_names", ())
        found.append(names)
        for name in set(names) - seen:
            seen.add(name)
            helper = view.__globals__.get(name)
            if getattr(helper, "__module__", None) == view.__module__:
                todo.append(helper)
    return found
