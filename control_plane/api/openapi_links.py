"""Says in the OpenAPI document which routes go on with what another one answered.

Three kinds: an id that was made or listed fills the addresses below it; an
ETag that was shown lets a change through; a body names what was made before.
Only the tables and their application live here; `openapi.py` calls it last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["add_links"]

_ROOT: Final = "/api/v1"
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_FUNCTION: Final = "/functions/{function}"
_DRAFT: Final = f"{_FUNCTION}/draft"


@dataclass(frozen=True, slots=True)
class _Noun:
    """Something with an address, and the routes whose answers hold what its address needs."""

    address: str
    variable: str
    # "METHOD path" -> where the answer holds the value.
    found: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Editable:
    """Something with an ETag: the addresses whose answers show it, and those that ask for it."""

    shown: tuple[str, ...]
    changed: tuple[str, ...]


_NOUNS: Final = (
    _Noun("/organizations/{organization}", "organization", {"post /organizations": "/id"}),
    _Noun("/departments/{department}", "department", {"post /departments": "/id"}),
    _Noun("/projects/{project}", "project", {"post /projects": "/id", "get /projects": "/items/0/id"}),
    _Noun("/members/{user}", "user", {"post /members": "/id"}),
    _Noun("/members/{user}/roles/{role}", "role", {"get /roles": "/items/0/name"}),
    _Noun("/sessions/{session}", "session", {"get /sessions": "/items/0/id"}),
    _Noun("/tokens/{token}", "token", {"post /tokens": "/token/id"}),
    _Noun(
        "/api-keys/{api_key}",
        "api_key",
        {"post /projects/{project}/api-keys": "/key/id", "get /projects/{project}/api-keys": "/items/0/id"},
    ),
    _Noun(
        _FUNCTION,
        "function",
        {
            "post /functions": "/id",
            "get /functions": "/items/0/id",
            "post /market/{share}/installations": "/id",
        },
    ),
    _Noun(
        f"{_DRAFT}/test-runs/{{run}}",
        "run",
        {f"post {_DRAFT}/test-runs": "/id", f"get {_DRAFT}/test-runs": "/items/0/id"},
    ),
    _Noun(f"/stream{_FUNCTION}", "function", {"get /functions": "/items/0/id"}),
    _Noun(
        f"/stream{_FUNCTION}/test-runs/{{run}}",
        "run",
        {f"post {_DRAFT}/test-runs": "/id"},
    ),
    _Noun(f"{_DRAFT}/files/{{path}}", "path", {f"get {_DRAFT}/files": "/items/0/path"}),
    _Noun(
        f"{_FUNCTION}/versions/{{number}}",
        "number",
        {f"post {_FUNCTION}/versions": "/number", f"get {_FUNCTION}/versions": "/items/0/number"},
    ),
    _Noun(
        f"{_FUNCTION}/previews/{{preview}}",
        "preview",
        {f"post {_FUNCTION}/previews": "/id", f"get {_FUNCTION}/previews": "/items/0/id"},
    ),
    _Noun(
        f"{_FUNCTION}/releases/{{number}}",
        "number",
        {
            f"post {_FUNCTION}/releases": "/number",
            f"post {_FUNCTION}/releases/rollback": "/number",
            f"get {_FUNCTION}/releases": "/items/0/number",
        },
    ),
    _Noun(
        f"{_FUNCTION}/exports/{{export}}",
        "export",
        {f"post {_FUNCTION}/exports": "/id", f"post {_FUNCTION}/releases/{{number}}/exports": "/id"},
    ),
    _Noun(f"{_FUNCTION}/tags/{{tag}}", "tag", {f"get {_FUNCTION}/tags": "/items/0/tag"}),
    _Noun(
        "/reviews/{review}",
        "review",
        {f"post {_FUNCTION}/reviews": "/id", "get /reviews": "/items/0/id"},
    ),
    _Noun(
        "/reviews/{review}/comments/{comment}",
        "comment",
        {"post /reviews/{review}/comments": "/comments/0/id"},
    ),
    _Noun("/shares/{share}", "share", {f"post {_FUNCTION}/shares": "/id", "get /shares": "/items/0/id"}),
    _Noun("/market/{share}", "share", {f"post {_FUNCTION}/shares": "/id", "get /market": "/items/0/id"}),
    _Noun("/files/{file}", "file", {"post /files": "/id", "get /files": "/items/0/id"}),
    _Noun("/invocations/{invocation}", "invocation", {"get /invocations": "/items/0/id"}),
    _Noun("/why/{request_id}", "request_id", {"get /invocations": "/items/0/request_id"}),
    _Noun("/starters/{name}", "name", {"get /starters": "/items/0/name"}),
    _Noun(
        "/projects/{project}/settings/{name}", "name", {"get /projects/{project}/settings": "/items/0/name"}
    ),
)

# Each shows its own ETag and asks for it again.
_ALONE: Final = (
    "/organizations/{organization}",
    "/departments/{department}",
    "/projects/{project}",
    "/projects/{project}/policy",
    "/projects/{project}/settings/{name}",
    "/projects/{project}/secrets/{name}",
    "/shares/{share}",
    _FUNCTION,
)
_EDITABLES: Final = (
    *(_Editable((one,), (one,)) for one in _ALONE),
    _Editable(("/api-keys/{api_key}",), ("/api-keys/{api_key}", "/api-keys/{api_key}/rotate")),
    _Editable(
        (_DRAFT, f"{_DRAFT}/archive", f"{_DRAFT}/files", f"{_DRAFT}/files/{{path}}"),
        (
            f"{_DRAFT}/archive",
            f"{_DRAFT}/files",
            f"{_DRAFT}/files/{{path}}",
            f"{_FUNCTION}/versions",
            f"{_FUNCTION}/installation/update",
        ),
    ),
    _Editable(
        (f"{_FUNCTION}/releases/status",),
        (f"{_FUNCTION}/releases", f"{_FUNCTION}/releases/rollback", f"{_FUNCTION}/tags/{{tag}}"),
    ),
    _Editable((f"{_FUNCTION}/releases/{{number}}",), (f"{_FUNCTION}/releases/{{number}}/guard",)),
)

# "METHOD path" whose answer a body needs -> "METHOD path" of the body -> its members.
_BODIES: Final[dict[str, dict[str, dict[str, str]]]] = {
    "post /projects": {
        target: {"project": "$response.body#/id"}
        for target in ("post /functions", "post /files", "post /tokens")
    },
    f"post {_FUNCTION}/versions": {
        target: {"version": "$response.body#/number"}
        for target in (
            f"post {_FUNCTION}/reviews",
            f"post {_FUNCTION}/releases",
            f"post {_FUNCTION}/releases/plan",
            f"post {_FUNCTION}/shares",
            f"post {_FUNCTION}/previews",
        )
    },
    "get /reviews/{review}": {
        "post /reviews/{review}/approve": {
            "digest": "$response.body#/digest",
            "values": "$response.body#/values",
        }
    },
    "get /market/{share}": {
        "post /market/{share}/installations": {"digest": "$response.body#/digest"},
    },
}


def add_links(paths: dict[str, Any]) -> None:
    """Add the links to the answers of the routes that others go on with."""
    for source, answer in _answers(paths):
        links: dict[str, Any] = {}
        path = source.partition(" ")[2]
        for noun in _NOUNS:
            if source in noun.found:
                value = {noun.variable: f"$response.body#{noun.found[source]}"}
                _link(links, paths, path, _below(paths, noun.address), value)
        for target, body in _BODIES.get(source, {}).items():
            _link(links, paths, path, [target], {}, body)
        if "ETag" in answer.get("headers", {}):
            _link_editables(links, paths, source, path)
        if links:
            answer["links"] = links


def _link_editables(links: dict[str, Any], paths: dict[str, Any], source: str, path: str) -> None:
    """Let what shows an ETag, or has just been made with one, lead to its changes."""
    made = {noun.address for noun in _NOUNS if source in noun.found and source.startswith("post ")}
    for editable in _EDITABLES:
        if path in editable.shown or made.intersection(editable.shown):
            targets = [
                target
                for target in _operations(paths)
                if target.partition(" ")[2] in editable.changed and _takes_etag(_operation(paths, target))
            ]
            _link(links, paths, path, targets, {"If-Match": "$response.header.ETag"})


def _link(
    links: dict[str, Any],
    paths: dict[str, Any],
    path: str,
    targets: list[str],
    values: dict[str, str],
    body: dict[str, str] | None = None,
) -> None:
    """Add to `links` those to `targets`, each with what `values` and the source's own address give."""
    own = {name: f"$request.path.{name}" for name in _variables(path)}
    for target in targets:
        operation = _operation(paths, target)
        known = {one["name"] for one in operation.get("parameters", ())}
        fitting = {name: value for name, value in {**own, **values}.items() if name in known}
        link = links.setdefault(
            operation["operationId"], {"operationId": operation["operationId"], "parameters": {}}
        )
        link["parameters"] = {**fitting, **link["parameters"]}
        link["parameters"].update({name: value for name, value in values.items() if name in known})
        if body is not None:
            link["requestBody"] = dict(body)


def _answers(paths: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return (METHOD path, answer) of every answer that means success."""
    return [
        (source, answer)
        for source in _operations(paths)
        for status, answer in _operation(paths, source)["responses"].items()
        if status in {"200", "201", "202"}
    ]


def _operations(paths: dict[str, Any]) -> list[str]:
    return [
        f"{method} {path.removeprefix(_ROOT)}"
        for path, item in paths.items()
        for method in item
        if method in _METHODS
    ]


def _operation(paths: dict[str, Any], named: str) -> dict[str, Any]:
    method, _, path = named.partition(" ")
    operation: dict[str, Any] = paths[_ROOT + path][method]
    return operation


def _below(paths: dict[str, Any], address: str) -> list[str]:
    return [named for named in _operations(paths) if f"{named.partition(' ')[2]}/".startswith(f"{address}/")]


def _takes_etag(operation: dict[str, Any]) -> bool:
    return any(one["name"] == "If-Match" for one in operation.get("parameters", ()))


def _variables(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)
