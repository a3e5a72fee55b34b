"""What kopf watches: every change of a Function, or of anything made for one, has that Function looked at.

Handlers only put a key into the queue. kopf keeps no state in the objects: no
annotation, no finalizer.
"""

from __future__ import annotations

from typing import Any, Final

import kopf

from operators.kinds import (
    DEPLOYMENT,
    DOMAIN_MAPPING,
    FUNCTION,
    KNATIVE_SERVICE,
    NETWORK_POLICY,
    POD,
    REVISION,
    SERVICE_ACCOUNT,
    TOMBSTONE,
    TRIGGER,
    Kind,
)
from operators.resources import names
from operators.work_queue import WorkQueue
from operators.worker import FUNCTIONS, TOMBSTONES

__all__ = ["make_registry"]

_MADE: Final = (
    KNATIVE_SERVICE, REVISION, DOMAIN_MAPPING, TRIGGER, NETWORK_POLICY, SERVICE_ACCOUNT, POD, DEPLOYMENT,
)  # fmt: skip


def make_registry(queue: WorkQueue, kubeconfig: bool) -> kopf.OperatorRegistry:
    """Return the handlers; with a `kubeconfig`, its environment variable says where the cluster is."""
    registry = kopf.OperatorRegistry()

    async def function_changed(namespace: str | None, name: str | None, **_: Any) -> None:
        queue.add((FUNCTIONS, namespace or "", name or ""))

    async def tombstone_changed(name: str | None, **_: Any) -> None:
        queue.add((TOMBSTONES, "", name or ""))

    async def made_changed(namespace: str | None, labels: kopf.Labels, **_: Any) -> None:
        queue.add((FUNCTIONS, namespace or "", labels[names.NAME_LABEL]))

    def login(**context: Any) -> kopf.ConnectionInfo | None:
        if kubeconfig:
            return kopf.login_with_kubeconfig(**context)
        return kopf.login_with_service_account(**context) or kopf.login_with_kubeconfig(**context)

    kopf.on.login(registry=registry)(login)
    kopf.on.event(*_address(FUNCTION), registry=registry)(function_changed)
    kopf.on.event(*_address(TOMBSTONE), registry=registry)(tombstone_changed)
    for kind in _MADE:
        labelled = {names.NAME_LABEL: kopf.PRESENT}
        kopf.on.event(*_address(kind), labels=labelled, registry=registry)(made_changed)
    return registry


def _address(kind: Kind) -> tuple[str, str, str]:
    group, _, version = kind.api_version.rpartition("/")
    return group, version, kind.plural
