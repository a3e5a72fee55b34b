"""Writes the API reference from the OpenAPI document, as Markdown like every other guide.

Nothing about a single route is said here: what is missing on the page is
missing in the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["api_reference"]

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_INTRODUCTION: Final = """# API reference

Every route as the server describes it; `/api/v1/openapi.json` is the same for programs.
What holds for all of them (who sends a request, lists, changes, limits) is in
[the HTTP API](api.md), error codes are in [errors](errors.md).
"""

Json = Mapping[str, Any]


def api_reference(document: Json) -> str:
    """Return the page: routes by noun, then the objects that they send and take."""
    lines = [_INTRODUCTION]
    for tag, operations in _by_tag(document).items():
        lines.append(f"## {tag.capitalize()}\n")
        for path, method, operation in operations:
            lines += _operation(path, method, operation)
    lines.append("## Objects\n")
    for name, schema in sorted(document.get("components", {}).get("schemas", {}).items()):
        lines += _object(name, schema)
    return "\n".join(lines) + "\n"


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    found: dict[str, list[tuple[str, str, Json]]] = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["other"])[0]
                shared = item.get("parameters", [])
                merged = {**item[method], "parameters": [*shared, *item[method].get("parameters", [])]}
                found.setdefault(tag, []).append((path, method, merged))
    return found


def _operation(path: str, method: str, operation: Json) -> Iterator[str]:
    yield f"### {method.upper()} {path}\n"
    yield f"{_line(operation.get('summary', ''))}\n"
    if description := operation.get("description"):
        yield f"{_line(description)}\n"
    yield f"Needs: {_needs(operation)}\n"
    if operation["parameters"]:
        yield from _table(
            ("parameter", "in", "type", "meaning"),
            [
                (_name(one["name"], one.get("required", False)), one["in"], _type(one.get("schema", {})),
                 _line(one.get("description", "") or one.get("schema", {}).get("description", "")))
                for one in operation["parameters"]
            ],
        )  # fmt: skip
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body: `{media}`{_of(content)}\n"
    yield from _table(("status", "answer"), list(_answers(operation["responses"])))


def _needs(operation: Json) -> str:
    if not operation.get("security"):
        return "nothing; it is public."
    permission = operation.get("x-permission")
    return (
        f"the permission `{permission}`." if permission else "a sign-in; it concerns the caller's own things."
    )


def _answers(responses: Json) -> Iterator[tuple[str, str]]:
    problems = []
    for status, response in responses.items():
        content = response.get("content", {})
        if "application/problem+json" in content:
            problems.append(f"`{status}`")
            continue
        shown = ", ".join(f"`{media}`{_of(one)}" for media, one in content.items()) or "no body"
        yield f"`{status}`", f"{_line(response.get('description', ''))} {shown}".strip()
    if problems:
        yield ", ".join(problems), "`application/problem+json`: [Problem](#problem)"


def _of(content: Json) -> str:
    schema = content.get("schema", {})
    return f": {_type(schema)}" if schema else ""


def _object(name: str, schema: Json) -> Iterator[str]:
    yield f"### {name}\n"
    if description := schema.get("description"):
        yield f"{_line(description)}\n"
    required = set(schema.get("required", []))
    fields = schema.get("properties", {})
    if not fields:
        yield f"{_type(schema)}\n"
        return
    yield from _table(
        ("field", "type", "meaning"),
        [
            (_name(field, field in required), _type(one), _line(one.get("description", "")))
            for field, one in fields.items()
        ],
    )


def _type(schema: Any) -> str:
    """Return a schema in a few words; objects with a name link to it."""
    if not isinstance(schema, Mapping) or not schema:
        return "anything"
    if reference := schema.get("$ref"):
        name = str(reference).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return " or ".join(_type(one) for one in schema[union])
    return _plain_type(schema)


def _plain_type(schema: Json) -> str:
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    limits = [
        f"{word} {schema[key]}"
        for key, word in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("minLength", "at least"),
            ("maxLength", "at most"),
        )
        if key in schema
    ]
    if "default" in schema and schema["default"] is not None:
        limits.append(f"default `{schema['default']}`" if schema["default"] != "" else "default empty")
    words = str(schema.get("format", kind))
    return f"{words} ({', '.join(limits)})" if limits else words


def _name(name: str, required: bool) -> str:
    return f"`{name}`" if required else f"`{name}` (optional)"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def _line(text: str) -> str:
    return " ".join(text.split())
