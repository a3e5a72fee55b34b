"""Where the time of a cold call in the cluster goes: moments of its pod, and of the process in it.

The pod's moments are when the API server told its watchers, the process's come
from itself: every clock is this machine's.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import urllib3

from operators.cluster import Cluster
from operators.kinds import POD

__all__ = ["PARTS", "SOURCE", "Moments", "PodWatch", "parts_of"]

# A handler that says when its container's first process began, its code ran, and it was called.
SOURCE: Final = """
import time

_IMPORTED = time.time()


def execute(input, context):
    called = time.time()
    with open("/proc/1/stat") as stat:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    started = called - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / 100
    return {"started": started, "imported": _IMPORTED, "called": called}
"""
PARTS: Final = (
    "gateway, activator, autoscaler, until there is a pod",
    "pod scheduled",
    "kubelet: sandbox, network, until the process starts",
    "interpreter, shim and the function's imports",
    "kubelet: second container, until the address is told",
    "activator and queue-proxy, until the call arrives",
    "answer",
)


@dataclass(slots=True)
class Moments:
    """When a pod was first seen, had a node, had an address. Unix seconds."""

    created: float = 0.0
    scheduled: float = 0.0
    addressed: float = 0.0


@dataclass(slots=True)
class PodWatch:
    """Notes the moments of all pods of a namespace, from when it is entered."""

    cluster: Cluster
    namespace: str
    pods: dict[str, Moments] = field(default_factory=dict)

    def __enter__(self) -> PodWatch:
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """The thread is left to the end of its watch or of the process: it only reads."""

    def of(self, function: str, since: float) -> Moments | None:
        """Return the moments of the pod that was made for a function after a time."""
        for name, moments in list(self.pods.items()):
            if name.startswith(f"{function}-") and moments.created >= since:
                return moments
        return None

    def _run(self) -> None:
        address = f"{self.cluster._configuration.host}{POD.path(self.namespace)}?watch=1&timeoutSeconds=900"
        with self.cluster._pool.request(
            "GET", address, preload_content=False, timeout=urllib3.Timeout(connect=3, read=900), retries=False
        ) as answer:
            for line in answer:
                self._note(json.loads(line)["object"], time.time())

    def _note(self, pod: Mapping[str, Any], now: float) -> None:
        if pod.get("kind") != "Pod":
            return
        moments = self.pods.setdefault(pod["metadata"]["name"], Moments(created=now))
        if pod["spec"].get("nodeName") and not moments.scheduled:
            moments.scheduled = now
        if pod["status"].get("podIP") and not moments.addressed:
            moments.addressed = now


def parts_of(began: float, ended: float, pod: Moments, said: Mapping[str, float]) -> list[float]:
    """Return the milliseconds of each of PARTS: what ends a part that ran beside another counts once."""
    moments = [
        began, pod.created, pod.scheduled, said["started"], said["imported"], pod.addressed, said["called"],
        ended,
    ]  # fmt: skip
    spans, latest = [], began
    for moment in moments[1:]:
        spans.append(max(0.0, moment - latest) * 1000)
        latest = max(latest, moment)
    return spans
