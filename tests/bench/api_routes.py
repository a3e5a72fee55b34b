"""What the benchmark of the API reads: every list, and the pages that people look at all day."""

from __future__ import annotations

from typing import Final

__all__ = ["DAILY", "LISTS", "ROLES"]

# (name, path); the path may name {project}, {function}, {number} and {week_ago}.
DAILY: Final = (
    ("GET functions", "/functions?limit=50"),
    ("GET functions of a project", "/functions?project={project}&limit=20"),
    ("GET function", "/functions/{function}"),
    ("GET draft", "/functions/{function}/draft"),
    ("GET versions", "/functions/{function}/versions?limit=50"),
    ("GET version", "/functions/{function}/versions/{number}"),
    ("GET reviews", "/reviews?limit=20"),
    ("GET releases", "/functions/{function}/releases"),
    ("GET projects", "/projects"),
    ("GET members", "/members"),
    ("GET usage", "/usage?days=7&project={project}"),
    ("GET invocations", "/invocations?function={function}&limit=50"),
    ("GET events", "/events?limit=50"),
    ("GET audit", "/audit?limit=50"),
    ("GET me", "/me"),
)
LISTS: Final = (
    ("GET functions, searched", "/functions?search=hello&sort=-updated&limit=50"),
    ("GET functions, live", "/functions?state=live&limit=50"),
    ("GET versions, deprecated", "/functions/{function}/versions?state=deprecated"),
    ("GET versions with a package", "/packages/numpy/versions?limit=50"),
    ("GET versions with an exact package", "/packages/numpy/versions?version=1.3.0&limit=50"),
    ("GET test runs", "/functions/{function}/draft/test-runs"),
    ("GET reviews to decide", "/reviews?mine=to_decide"),
    ("GET reviews submitted", "/reviews?mine=submitted"),
    ("GET counts of reviews", "/reviews/counts"),
    ("GET status of releases", "/functions/{function}/releases/status"),
    ("GET invocations of a project", "/invocations?project={project}&limit=50"),
    ("GET invocations, cold", "/invocations?project={project}&cold=true"),
    ("GET invocations, failed", "/invocations?project={project}&status=5xx"),
    ("GET usage by day", "/usage?days=30&group_by=day"),
    ("GET usage by key", "/usage?days=30&group_by=key"),
    ("GET monitor, an hour", "/monitor/functions"),
    ("GET monitor, 7 days", "/monitor/functions?from={week_ago}"),
    ("GET queue, 7 days", "/monitor/queue?from={week_ago}"),
    ("GET market", "/market"),
    ("GET market, searched", "/market?q=hel&tags=demo"),
    ("GET shares", "/shares"),
    ("GET installations", "/installations"),
    ("GET keys", "/projects/{project}/api-keys"),
    ("GET audit, newest", "/audit?order=newest"),
    ("GET audit of an action", "/audit?action=release.create&order=newest"),
    ("GET audit of a week", "/audit?from={week_ago}"),
    ("GET files", "/files?project={project}"),
)
# Whose token reads what an author may not.
ROLES: Final = {
    "GET audit": "owner",
    "GET members": "owner",
    "GET keys": "owner",
    "GET audit, newest": "owner",
    "GET audit of an action": "owner",
    "GET audit of a week": "owner",
    "GET reviews to decide": "reviewer",
    "GET counts of reviews": "reviewer",
}
