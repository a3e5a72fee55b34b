"""Says how the cluster is: its parts, its node, Knative, and where what answers."""

from __future__ import annotations

from dataclasses import dataclass

from knative.bootstrap import eventing, serving
from knative.bootstrap.cluster import parts_of
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.parts import POSTGRES_PORT, S3_PORT
from knative.bootstrap.pki import API_ADDRESS
from knative.bootstrap.plan import NODE, NODE_ADDRESS, REGISTRY, Plan
from knative.bootstrap.processes import main_process
from knative.bootstrap.readiness import is_ready
from knative.bootstrap.stores import BUCKET, DATABASE, Passwords

__all__ = ["Line", "status", "whole"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing, how it is, and whether that is fine."""

    what: str
    how: str
    fine: bool


def status(plan: Plan) -> list[Line]:
    """Return how everything is."""
    lines = [
        _part(plan, part.name, is_ready(part.ready)) for part in parts_of(plan, Passwords("", "", "", ""))
    ]
    if any(not line.fine for line in lines if line.what == "kube-apiserver"):
        return lines
    kubectl = Kubectl(plan)
    try:
        lines.append(_node(kubectl))
        lines += [_deployments(kubectl, namespace) for namespace in (serving.NAMESPACE, eventing.NAMESPACE)]
    except ClusterError as error:
        lines.append(Line("kubectl", str(error), fine=False))
    return lines


def whole(plan: Plan) -> list[str]:
    """Return where everything answers."""
    return [
        f"kubectl          KUBECONFIG={plan.kubeconfig} {plan.bin / 'kubectl'}",
        f"API server       {API_ADDRESS}",
        f"registry         {REGISTRY}, login in {plan.credentials / 'docker' / 'config.json'}",
        f"PostgreSQL       {NODE_ADDRESS}:{POSTGRES_PORT}, database {DATABASE}",
        f"S3               http://{NODE_ADDRESS}:{S3_PORT}, bucket {BUCKET}",
        f"passwords        {plan.credentials / 'passwords.json'}",
        f"logs             {plan.logs}",
    ]


def _part(plan: Plan, name: str, ready: bool) -> Line:
    pid = main_process(plan, name)
    if pid is None:
        return Line(name, "does not run", fine=False)
    return Line(name, f"process {pid}, {'ready' if ready else 'not ready'}", fine=ready)


def _node(kubectl: Kubectl) -> Line:
    conditions = kubectl.get("node", NODE)["status"]["conditions"]
    ready = next((one for one in conditions if one["type"] == "Ready"), {"status": "Unknown"})
    fine = ready["status"] == "True"
    return Line(f"node {NODE}", "ready" if fine else str(ready.get("message", "not ready")), fine=fine)


def _deployments(kubectl: Kubectl, namespace: str) -> Line:
    items = kubectl.get("deployment", "--namespace", namespace)["items"]
    waiting = [one["metadata"]["name"] for one in items if not one["status"].get("availableReplicas")]
    if waiting or not items:
        return Line(namespace, f"not available: {', '.join(waiting) or 'not installed'}", fine=False)
    return Line(namespace, f"{len(items)} deployments available", fine=True)
