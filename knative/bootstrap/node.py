"""Whether the node can run pods, by the word of the kubelet that runs now."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from knative.bootstrap.errors import ClusterError
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.plan import NODE

__all__ = ["ready_since_start", "wait_for_node"]


def ready_since_start(node: dict[str, Any], started: dt.datetime) -> bool:
    """Say whether the node is ready, and a kubelet that started then says so. Pure.

    What a former kubelet said stays in the API for a while, and the new one takes
    it back when it begins, until it has found the container runtime.
    """
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            said = dt.datetime.fromisoformat(condition["lastHeartbeatTime"])
            # The API keeps whole seconds.
            return condition["status"] == "True" and said >= started.replace(microsecond=0)
    return False


def wait_for_node(kubectl: Kubectl, started: dt.datetime, seconds: float = 180.0) -> None:
    """Wait for it. Raises ClusterError."""
    until = time.monotonic() + seconds
    while not ready_since_start(kubectl.find("node", NODE), started):
        if time.monotonic() > until:
            raise ClusterError(
                f"the node is not ready after {seconds:.0f} s", hint="The kubelet's log says why: kubelet.log"
            )
        time.sleep(0.1)
