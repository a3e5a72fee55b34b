"""Talks to the cluster by its own kubectl: apply, wait, read. What is applied is made elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from knative.bootstrap.commands import run
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.plan import Plan

__all__ = ["Kubectl"]

_MANAGER = "ingot-bootstrap"


class Kubectl:
    """The administrator's kubectl."""

    def __init__(self, plan: Plan) -> None:
        # What waits has a limit of its own: a request's would end its watch early.
        self._unlimited = [str(plan.bin / "kubectl"), f"--kubeconfig={plan.kubeconfig}"]
        self._command = [*self._unlimited, "--request-timeout=30s"]

    def apply(self, objects: Sequence[dict[str, Any]]) -> None:
        """Apply objects as their owner; several tries, as a webhook may start just now."""
        if not objects:
            return
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self._repeat(
            ["apply", "--server-side", "--force-conflicts", f"--field-manager={_MANAGER}", "-f", "-"], text
        )

    def get(self, *words: str) -> dict[str, Any]:
        """Return an object or a list. Raises ClusterError when there is none."""
        found = json.loads(run([*self._command, "get", *words, "-o", "json"]))
        return found if isinstance(found, dict) else {}

    def find(self, *words: str) -> dict[str, Any]:
        """Return an object; an empty one when there is none."""
        said = run([*self._command, "get", *words, "--ignore-not-found", "-o", "json"])
        return json.loads(said) if said.strip() else {}

    def delete(self, *what: str, seconds: int = 90) -> None:
        """Delete what is there and wait until it is gone."""
        command = [*self._unlimited, "delete", *what, "--ignore-not-found", f"--timeout={seconds}s"]
        run(command, timeout=seconds + 30)

    def wait(self, condition: str, *what: str, seconds: int = 180) -> None:
        """Wait until a condition holds for objects that exist."""
        run(
            [*self._unlimited, "wait", f"--for={condition}", *what, f"--timeout={seconds}s"],
            timeout=seconds + 30,
        )

    def _repeat(self, words: Sequence[str], text: str, tries: int = 20) -> None:
        for remaining in reversed(range(tries)):
            try:
                run([*self._command, *words], given=text, timeout=120)
            except ClusterError:
                if remaining == 0:
                    raise
                time.sleep(0.5)
            else:
                return
