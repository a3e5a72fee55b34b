"""Who leads: one operator of several, by a Lease, with a number that older leaders cannot write past.

A leader counts as such only while its last renewal is younger than the lease,
by its own clock. The number (fence) stands in all that a leader writes, and
the API server refuses a lower one (`knative/crds`): a leader that slept
through its own end is stopped there, not by its own good will.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from operators.cluster import Cluster, ClusterError, Outdated
from operators.kinds import LEASE
from operators.resources import names

__all__ = ["Election", "Lead", "NotLeading", "Terms"]

_LOG: Final = logging.getLogger(__name__)
_FENCE: Final = "ingot.dev/fence"
# A write that was sent in time may arrive this much later.
_MARGIN_S: Final = 2.0


class NotLeading(Exception):
    """Another operator leads, or nobody knows at the moment."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How leadership is kept."""

    namespace: str
    identity: str
    name: str = "ingot-operator"
    # How long the others wait after the last renewal.
    duration_s: float = 15.0
    renew_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Lead:
    """A term of leadership."""

    fence: int
    # By the monotonic clock.
    until: float


class Election:
    """Takes part in the election, one attempt at a time; `run` does so until told to stop."""

    def __init__(
        self,
        cluster: Cluster,
        terms: Terms,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._terms = terms
        self._monotonic = monotonic
        self._now = now
        self._lead: Lead | None = None
        # Another's lease as last seen, and since when it has not changed by our own clock.
        self._seen: tuple[str, float] = ("", 0.0)

    def fence(self) -> int:
        """Return the number to write with. Raises NotLeading."""
        lead = self._lead
        if lead is None or self._monotonic() > lead.until - _MARGIN_S:
            raise NotLeading
        return lead.fence

    def attempt(self) -> bool:
        """Renew, or take over from a leader that is gone; returns whether this one leads."""
        began = self._monotonic()
        lease = self._cluster.get(LEASE, self._terms.namespace, self._terms.name)
        fence = self._fence_for(lease, began)
        if fence is None:
            self._lead = None
            return False
        document = self._document(lease, fence)
        try:
            if lease is None:
                self._cluster.create(document, names.FIELD_MANAGER)
            else:
                self._cluster.replace(document, names.FIELD_MANAGER)
        except Outdated:
            self._lead = None
            return False
        self._lead = Lead(fence, began + self._terms.duration_s)
        return True

    def run(self, stop: threading.Event, began_to_lead: Callable[[], None]) -> None:
        """Take part until `stop`; call back when a term begins, or goes on after trouble."""
        last = 0
        while not stop.is_set():
            try:
                if self.attempt() and self._lead is not None and self._lead.fence != last:
                    _LOG.info("leads with fence %d", self._lead.fence)
                    began_to_lead()
                    last = self._lead.fence
            except ClusterError as error:
                _LOG.warning("cannot renew the lease: %s", error)
                # Watches missed what happened meanwhile, too.
                last = 0
            stop.wait(self._terms.renew_s)
        self.resign()

    def resign(self) -> None:
        """Let another lead at once instead of after the lease's time."""
        if self._lead is None:
            return
        self._lead = None
        try:
            lease = self._cluster.get(LEASE, self._terms.namespace, self._terms.name)
            if lease is not None and lease["spec"].get("holderIdentity") == self._terms.identity:
                lease["spec"]["holderIdentity"] = ""
                self._cluster.replace(lease, names.FIELD_MANAGER)
        except ClusterError as error:
            _LOG.warning("cannot give the lease up: %s", error)

    def _fence_for(self, lease: dict[str, Any] | None, now: float) -> int | None:
        """Return the number that this operator may lead with; None while another leads."""
        # Seconds since 1970 go on growing even after somebody deleted the lease.
        fresh = int(self._now().timestamp())
        if lease is None:
            return fresh
        known = int(lease["metadata"].get("annotations", {}).get(_FENCE, 0))
        holder = lease["spec"].get("holderIdentity") or ""
        if holder == self._terms.identity and self._lead is not None:
            return self._lead.fence
        version = str(lease["metadata"].get("resourceVersion", ""))
        if self._seen[0] != version:
            self._seen = (version, now)
        waited = now - self._seen[1]
        if holder and waited <= float(lease["spec"].get("leaseDurationSeconds") or 0):
            return None
        return max(known + 1, fresh)

    def _document(self, lease: dict[str, Any] | None, fence: int) -> dict[str, Any]:
        now = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict((lease or {}).get("spec", {}))
        taken = spec.get("holderIdentity") != self._terms.identity
        spec |= {
            "holderIdentity": self._terms.identity,
            "leaseDurationSeconds": int(self._terms.duration_s),
            "renewTime": now,
            "acquireTime": now if taken else spec.get("acquireTime", now),
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + int(taken),
        }
        metadata: dict[str, Any] = {
            "name": self._terms.name,
            "namespace": self._terms.namespace,
            "annotations": {_FENCE: str(fence)},
        }
        if lease is not None:
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }
