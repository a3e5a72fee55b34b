"""The gateway as two parts of the cluster: HAProxy under its launcher, and its controller. Pure.

They start when Knative is installed, as the controller waits for its resources.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from knative.bootstrap.part import Part, Probe
from knative.bootstrap.parts import SERVICE_ACCOUNT
from knative.bootstrap.plan import NODE_ADDRESS, Plan
from knative.bootstrap.serving import INGRESS_CLASS
from operators.ingress.manifests import PORTS, manifests
from operators.ingress.settings import IngressSettings

__all__ = ["GATEWAY_PARTS", "gateway_objects", "gateway_parts"]

GATEWAY_PARTS = frozenset({"gateway", "ingress"})
_USER = {"kind": "User", "name": "ingot:gateway", "apiGroup": "rbac.authorization.k8s.io"}
# The checkout that runs this is the one whose code the parts run.
_CHECKOUT = Path(__file__).parents[2]
_ENVIRONMENT = {"PYTHONPATH": str(_CHECKOUT)}
_CODE = ("operators/ingress", "control_plane/adapters/gateway")


def gateway_parts(plan: Plan) -> tuple[Part, ...]:
    """Return the launcher and the controller."""
    settings = _settings(plan)
    folders = (f"--data={settings.data_folder}", f"--run={settings.run_folder}")
    kubeconfig = plan.credentials / "gateway.kubeconfig"
    public, private = PORTS["public"], PORTS["private"]
    launcher = Part(
        "gateway",
        (
            *(sys.executable, "-m", "operators.ingress.launch", *folders),
            f"--public={NODE_ADDRESS}:{public['http2'][1]}",
            f"--public-tls={NODE_ADDRESS}:{public['https'][1]}",
            f"--private={NODE_ADDRESS}:{private['http2'][1]}",
            "--drain=5",
        ),
        Probe("socket", settings.probe_socket("public")),
        needs=("kube-apiserver",),
        environment=_ENVIRONMENT,
        reads=_code(),
    )
    controller = Part(
        "ingress",
        (
            *(sys.executable, "-m", "operators.ingress", *folders),
            f"--kubeconfig={kubeconfig}",
            f"--ingress-class={INGRESS_CLASS}",
            f"--worker-uid={SERVICE_ACCOUNT.user}",
            "--log-failed",
        ),
        Probe("socket", settings.probe_socket("private")),
        needs=("kube-apiserver",),
        environment=_ENVIRONMENT,
        reads=(kubeconfig, *_code()),
    )
    return launcher, controller


def gateway_objects(plan: Plan) -> list[dict[str, Any]]:
    """Return the gateway's rights, and the Services that lead to this machine."""
    # Ports of the node are the only way in that needs no load balancer.
    return manifests(_settings(plan), _USER, NODE_ADDRESS, "NodePort")


def _code() -> tuple[Path, ...]:
    """Return the files whose change makes other parts of these."""
    return tuple(sorted(path for folder in _CODE for path in (_CHECKOUT / folder).glob("*.py")))


def _settings(plan: Plan) -> IngressSettings:
    return IngressSettings(run_folder=plan.run / "gateway", data_folder=plan.data("gateway"))
