"""The `Telemetry` port in a cluster: Prometheus knows what Knative's autoscaler and activator count.

Prometheus speaks of revisions; which version a revision is stands in the status of Functions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import urllib3

from control_plane.domain.monitoring import Running
from control_plane.errors import Unavailable
from control_plane.ports import Clock

__all__ = ["PrometheusTelemetry"]

# Pods that serve, and calls that wait in the activator for one.
_PODS: Final = "max by (k8s_namespace_name, kn_revision_name) (kn_revision_pods_count)"
_QUEUED: Final = "sum by (k8s_namespace_name, kn_revision_name) (kn_revision_request_queued)"
# A sample tells of the ten seconds before it; Prometheus itself looks back further for the last scrape.
_SPAN_S: Final = 10
_STEP_S: Final = 5
_TIMEOUT: Final = urllib3.Timeout(connect=2.0, read=4.0)
_LARGEST: Final = 16 * 2**20

_Revision = tuple[str, str]


class PrometheusTelemetry:
    """Asks one Prometheus."""

    def __init__(
        self, address: str, functions: Callable[[], Iterable[Mapping[str, Any]]], clock: Clock
    ) -> None:
        """`functions` returns the cluster's Function resources."""
        self._address = address.rstrip("/")
        self._functions = functions
        self._clock = clock
        self._pool = urllib3.PoolManager(maxsize=1)

    def read(self) -> Running:
        """Return the most instances and waiting calls of the last seconds. Raises Unavailable."""
        # First, as there is nothing to look up where Prometheus is away.
        pods, queued = self._most(_PODS), self._most(_QUEUED)
        versions = _versions(self._functions())
        found: dict[tuple[str, str, str, str], int] = {}
        for revision, count in pods.items():
            key = versions.get(revision)
            if key is not None and count >= 1:
                found[key] = found.get(key, 0) + int(count)
        waiting = sum(count for revision, count in queued.items() if revision in versions)
        return Running(found, {"queued": waiting})

    def _most(self, query: str) -> dict[_Revision, float]:
        end = self._clock.now_ms() / 1000
        asked = {"query": query, "start": end - _SPAN_S, "end": end, "step": _STEP_S, "timeout": "3s"}
        found: dict[_Revision, float] = {}
        try:
            for series in self._ask(f"/api/v1/query_range?{urlencode(asked)}"):
                labels = series["metric"]
                revision = str(labels["k8s_namespace_name"]), str(labels["kn_revision_name"])
                values = [float(value) for _, value in series["values"]]
                found[revision] = max((value for value in values if math.isfinite(value)), default=0.0)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable("Prometheus answers what nobody understands.") from error
        return found

    def _ask(self, path: str) -> list[Any]:
        try:
            answer = self._pool.request(
                "GET",
                self._address + path,
                timeout=_TIMEOUT,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                content = answer.read(_LARGEST + 1)
            finally:
                # A body that was not read to its end would be the next answer's beginning.
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(f"Prometheus does not answer: {error}") from error
        if answer.status != 200 or len(content) > _LARGEST:
            raise Unavailable(f"Prometheus answered {answer.status} with {len(content)} bytes.")
        found = json.loads(content)["data"]["result"]
        if not isinstance(found, list):
            raise TypeError("no list of series")
        return found


def _versions(functions: Iterable[Mapping[str, Any]]) -> dict[_Revision, tuple[str, str, str, str]]:
    """Return (namespace, revision) -> (organization, project, function, version)."""
    found = {}
    for body in functions:
        spec = body["spec"]
        digests = {one["name"]: one["digest"] for one in spec["versions"]}
        for one in (body.get("status") or {}).get("versions", ()):
            if one["name"] in digests and one.get("revision"):
                key = (spec["organization"], spec["project"], spec["function"], digests[one["name"]])
                found[body["metadata"]["namespace"], one["revision"]] = key
    return found
