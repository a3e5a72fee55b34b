"""One look at one Tombstone: check its signature, and remember what may not run any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from control_plane.domain.attestations import Admitted, Refusal
from operators.attestation import admission_of, read_admitted, read_takedown, taken_down_after
from operators.cluster import Cluster
from operators.conditions import Condition, condition_document
from operators.kinds import ADMISSION, TOMBSTONE
from operators.reconcile import trusted_keys
from operators.resources import names

__all__ = ["TombstoneReconciler"]


class TombstoneReconciler:
    """Reads Tombstones into Admissions."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        fence: Callable[[], int],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._fence = fence
        self._now = now

    def reconcile(self, name: str) -> tuple[str, str] | None:
        """Look at one; return namespace and name of the Function that has to be looked at then."""
        fence = self._fence()
        body = self._cluster.get(TOMBSTONE, "", name)
        if body is None:
            return None
        function = str(body["spec"].get("function", ""))
        remembered = self._cluster.get(ADMISSION, "", names.admission(function))
        known = read_admitted(remembered)
        read = read_takedown(body, trusted_keys(self._cluster, self._namespace), known, self._now())
        if isinstance(read, Refusal):
            self._report(body, Condition("Accepted", "False", read.reason, read.message))
            return None
        after = taken_down_after(known, read)
        if after != known:
            self._remember(function, after, fence, remembered)
        message = f"{len(read.versions)} versions may not run, nor releases before epoch {after.minimum}."
        self._report(body, Condition("Accepted", "True", "Signed", message))
        return (after.namespace, after.name) if after.name else None

    def _remember(
        self, function: str, after: Admitted, fence: int, remembered: Mapping[str, Any] | None
    ) -> None:
        admitted = (remembered or {}).get("spec", {}).get("admitted")
        document = admission_of(function, after, fence, admitted)
        if remembered is None:
            self._cluster.create(document, names.FIELD_MANAGER)
        else:
            version = str(remembered["metadata"]["resourceVersion"])
            self._cluster.apply(document, names.FIELD_MANAGER, version=version)

    def _report(self, body: Mapping[str, Any], condition: Condition) -> None:
        generation = int(body["metadata"]["generation"])
        before = body.get("status") or {}
        known = next(iter(before.get("conditions") or ()), None)
        now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        status = {
            "observedGeneration": generation,
            "conditions": [condition_document(condition, generation, known, now)],
        }
        if status == before:
            return
        self._cluster.apply(
            {
                "apiVersion": names.API_VERSION,
                "kind": "Tombstone",
                "metadata": {"name": body["metadata"]["name"]},
                "status": status,
            },
            names.FIELD_MANAGER,
            subresource="status",
        )
