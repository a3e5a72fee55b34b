"""The OpenAPI 3.1 document: what the routes declare, plus what holds for all of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from apiflask import APIFlask
from flask import current_app

from control_plane.api.access import rule_of
from control_plane.api.openapi_headers import add_headers
from control_plane.api.openapi_links import add_links
from control_plane.api.problems import PROBLEM_TYPE
from control_plane.api.schemas import MAX_NUMBER
from control_plane.api.uploads import uploaded_types

__all__ = ["describe", "document"]

_METHODS: Final = ("get", "post", "put", "patch", "delete")

_PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, in a sentence."},
        "instance": {"type": "string"},
        "code": {"type": "string", "description": "Stable; docs/errors.md lists all."},
        "request_id": {"type": "string"},
        "hint": {"type": "string", "description": "What to do next."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


# Served by the streams process, so no route of this application stands for it.
_STREAM: Final[dict[str, Any]] = {
    "get": {
        "operationId": "get_stream",
        "summary": "Follow the organization's events as server-sent events.",
        "tags": ["events"],
        "parameters": [
            {
                "in": "header",
                "name": "Last-Event-ID",
                "description": "Sequence number to continue behind.",
                "schema": {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER},
            },
            {
                "in": "query",
                "name": "after",
                "description": "The same, for a first connection.",
                "schema": {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER},
            },
        ],
        "responses": {
            "200": {
                "description": "Events.",
                # No schema: what one would describe, a text or each event, is not agreed upon.
                "content": {"text/event-stream": {}},
            }
        },
        "security": [{"token": []}, {"session": []}],
        "x-permission": "event:read",
    }
}


_STREAM_PATH: Final = "/api/v1/stream"
_RUN_STREAM_PATH: Final = "/api/v1/stream/functions/{function}/test-runs/{run}"
_RUN_STREAM: Final[dict[str, Any]] = {
    "get": {
        **_STREAM["get"],
        "operationId": "get_test_run_stream",
        "summary": "Follow a test run's log records until it ends.",
        "tags": ["test runs"],
        "parameters": [
            *(
                {"in": "path", "name": name, "required": True, "schema": {"type": "string"}}
                for name in ("function", "run")
            ),
            *_STREAM["get"]["parameters"],
        ],
        "x-permission": "function:read",
    }
}


def describe(app: APIFlask) -> None:
    """Set what the document says about the API as a whole."""
    app.config["INFO"] = {
        "description": "Functions from draft to metered call. Errors are problem documents, lists have "
        "cursors, edits need If-Match, creations take an Idempotency-Key.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    }
    app.config["OPENAPI_VERSION"] = "3.1.0"
    app.config["SERVERS"] = [{"url": "/", "description": "This origin."}]
    app.config["AUTO_OPERATION_ID"] = True
    app.config["AUTO_VALIDATION_ERROR_RESPONSE"] = False
    app.config["SECURITY_SCHEMES"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A personal token."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": app.extensions["ingot"].options.cookie_name,
            "description": "The console's session; changes also need Origin and X-CSRF-Token.",
        },
    }
    app.spec_processor(_complete(app))


def document() -> dict[str, Any]:
    """Return the current app's document."""
    app = current_app
    if not isinstance(app, APIFlask):
        raise TypeError("the document is made by an APIFlask app")
    spec = app._get_spec("json")
    if not isinstance(spec, dict):
        raise TypeError("the document is an object")
    return spec


def _complete(app: APIFlask) -> Any:
    def complete(spec: dict[str, Any]) -> dict[str, Any]:
        spec.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM_SCHEMA
        problem = {
            "description": "What is wrong.",
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for path, operations in spec["paths"].items():
            for method in _METHODS:
                if method in operations:
                    endpoint = _endpoint(app, path, method)
                    _finish(app, operations[method], endpoint, problem)
        _mend_tuples(spec)
        for path, stream in ((_STREAM_PATH, _STREAM), (_RUN_STREAM_PATH, _RUN_STREAM)):
            described = deepcopy(stream)
            described["get"]["responses"]["default"] = problem
            spec["paths"][path] = described
        _name_fields(spec)
        add_links(spec["paths"])
        return spec

    return complete


def _finish(app: APIFlask, operation: dict[str, Any], endpoint: str, problem: dict[str, Any]) -> None:
    operation["responses"]["default"] = dict(problem)
    operation["responses"]["400"] = {
        "description": "Not well-formed; what cannot even be read as HTTP is answered in HTML.",
        "content": {**problem["content"], "text/html": {}},
    }
    add_headers(app, operation, endpoint)
    _describe_uploads(app, operation, endpoint)
    _bound_path_numbers(operation)
    rule = rule_of(app, endpoint)
    if rule is None or rule.public:
        operation["security"] = []
        return
    operation["security"] = [{"token": []}, {"session": []}]
    if rule.permission is not None:
        operation["x-permission"] = str(rule.permission)


def _describe_uploads(app: APIFlask, operation: dict[str, Any], endpoint: str) -> None:
    """Add the bodies that views stream, which no model describes."""
    if media_types := uploaded_types(app, endpoint):
        bytes_ = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"content": dict.fromkeys(sorted(media_types), bytes_)}
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True


def _bound_path_numbers(operation: dict[str, Any]) -> None:
    for parameter in operation["parameters"]:
        if parameter["in"] == "path" and parameter["schema"].get("type") == "integer":
            parameter["schema"] |= {"minimum": 1, "maximum": MAX_NUMBER}


def _name_fields(spec: dict[str, Any]) -> None:
    """Say of each list which names `fields=` takes: those of its items."""
    schemas = spec["components"]["schemas"]
    for item in spec["paths"].values():
        for parameter in item.get("get", {}).get("parameters", ()):
            if parameter["name"] == "fields":
                page = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]
                row = schemas[page["$ref"].rpartition("/")[2]]["properties"]["items"]["items"]
                described = schemas[row["$ref"].rpartition("/")[2]]
                names = list(described["properties"])
                # Whoever asks for some fields gets no others.
                described.pop("required", None)
                one = {"type": "string", "enum": names}
                parameter |= {"style": "form", "explode": False}
                parameter["schema"] = {"type": "array", "items": one, "minItems": 1}


def _mend_tuples(schema: Any) -> None:
    """Write tuples as JSON Schema 2020-12 does: the framework writes them as OpenAPI 3.0 did."""
    if isinstance(schema, list):
        for one in schema:
            _mend_tuples(one)
    elif isinstance(schema, dict):
        if isinstance(schema.get("items"), list):
            schema["prefixItems"] = schema.pop("items")
        for one in schema.values():
            _mend_tuples(one)


def _endpoint(app: APIFlask, path: str, method: str) -> str:
    for rule in app.url_map.iter_rules():
        if _path(rule.rule) == path and rule.methods is not None and method.upper() in rule.methods:
            return str(rule.endpoint)
    raise KeyError(f"{method} {path}")


def _path(rule: str) -> str:
    """Return a Flask rule as OpenAPI writes it: `<int:number>` becomes `{number}`."""
    parts = []
    for part in rule.split("/"):
        if part.startswith("<"):
            parts.append("{" + part.strip("<>").rpartition(":")[2] + "}")
        else:
            parts.append(part)
    return "/".join(parts)
