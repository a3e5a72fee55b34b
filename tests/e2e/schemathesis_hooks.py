"""What schemathesis cannot know of the API that it tries: how bytes are sent, and which project is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st

CONFIG = Path(__file__).with_name("schemathesis.toml")
_TYPES = ("application/gzip", "application/x-gzip", "application/x-tar", "application/zip")
# What the test has made, and texts that name something or nothing; a schema knows their length alone.
_THERE = {"project": "main", "function": "hello", "number": 1, "organization": "current"}
_EMPTY = ("department", "parent", "key", "version", "function", "search", "audience_project")

for _type in _TYPES:
    schemathesis.openapi.media_type(_type, st.binary(min_size=1, max_size=2_000))


@schemathesis.serializer(*_TYPES)
def raw(_context: schemathesis.SerializationContext, value: Any) -> Any:
    """Send bytes as they are, and anything else as text."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Describe tuples in answers as lists: the tool reads them as JSON Schema did before `prefixItems`."""
    for name, schema in raw_schema["components"]["schemas"].items():
        if name.rpartition(".")[2].endswith("Out"):
            _loosen(schema)


def _loosen(schema: Any) -> None:
    if isinstance(schema, dict):
        if "prefixItems" in schema:
            schema["items"] = {"anyOf": schema.pop("prefixItems")}
        for inner in schema.values():
            _loosen(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _loosen(inner)


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, path: Any) -> Any:
    """Name what is there instead of what cannot be; ids that came out of an answer stay."""
    operation = context.operation
    if not isinstance(path, dict) or operation is None or operation.method.upper() == "DELETE":
        return path
    return {name: _there(name, value) for name, value in path.items()}


def _there(name: str, value: Any) -> Any:
    known = _THERE.get(name)
    is_id = isinstance(value, str) and re.fullmatch(r"[a-z]+_[0-9a-z]{26}", value)
    return known if type(value) is type(known) and not is_id else value


@schemathesis.hook
def map_body(_context: schemathesis.HookContext, body: Any) -> Any:
    """Name a project that is there, so that what is made can be made."""
    return _named(body)


@schemathesis.hook
def map_query(_context: schemathesis.HookContext, query: Any) -> Any:
    """Begin lists at their beginning, and look for what is there; forged cursors are a test of their own."""
    query = _named(query)
    if isinstance(query, dict) and isinstance(query.get("cursor"), str) and len(query["cursor"]) <= 1_000:
        del query["cursor"]
    return query


def _named(values: Any) -> Any:
    """Replace texts that would fit the schema; what does not fit stays as wrong as it is."""
    if not isinstance(values, dict):
        return values
    if isinstance(values.get("project"), str) and len(values["project"]) <= 80:
        values = {**values, "project": "main"}
    for name in _EMPTY:
        if isinstance(values.get(name), str) and len(values[name]) <= 80:
            values = {one: value for one, value in values.items() if one != name}
    return values
