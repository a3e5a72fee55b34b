"""Says in the OpenAPI document which routes go on with what another one made.

A route that creates something names here where its answer holds the id; every
route whose path can be filled from that gets a link.
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["add_links"]

# Path of the route that creates -> path variable -> where its value is found, and the routes meant.
_MADE: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "/api/v1/projects": ("/api/v1/projects/{project}", {"project": "$response.body#/id"}),
    "/api/v1/functions": ("/api/v1/functions/{function}", {"function": "$response.body#/id"}),
    "/api/v1/functions/{function}/versions": (
        "/api/v1/functions/{function}/versions/{number}",
        {"function": "$request.path.function", "number": "$response.body#/number"},
    ),
    "/api/v1/functions/{function}/reviews": ("/api/v1/reviews/{review}", {"review": "$response.body#/id"}),
    "/api/v1/functions/{function}/releases": (
        "/api/v1/functions/{function}/releases/{number}",
        {"function": "$request.path.function", "number": "$response.body#/number"},
    ),
    "/api/v1/functions/{function}/draft/test-runs": (
        "/api/v1/functions/{function}/draft/test-runs/{run}",
        {"function": "$request.path.function", "run": "$response.body#/id"},
    ),
    "/api/v1/projects/{project}/api-keys": (
        "/api/v1/api-keys/{api_key}",
        {"api_key": "$response.body#/key/id"},
    ),
    "/api/v1/tokens": ("/api/v1/tokens/{token}", {"token": "$response.body#/token/id"}),
}


def add_links(paths: dict[str, Any]) -> None:
    """Add the links to the answers of the routes that create."""
    for path, (below, values) in _MADE.items():
        responses = paths.get(path, {}).get("post", {}).get("responses", {})
        created = next((responses[status] for status in ("201", "202", "200") if status in responses), None)
        if created is not None:
            created["links"] = dict(_links(paths, below, values))


def _links(paths: dict[str, Any], below: str, values: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path, item in paths.items():
        if not path.startswith(below) or set(re.findall(r"{(\w+)}", path)) != set(values):
            continue
        for operation in item.values():
            if isinstance(operation, dict) and "operationId" in operation:
                link = {"operationId": operation["operationId"], "parameters": values}
                found.append((str(operation["operationId"]), link))
    return found
