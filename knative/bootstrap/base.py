"""The objects that the cluster itself needs before anything is installed. Pure."""

from __future__ import annotations

from typing import Any

__all__ = ["base_objects"]

_COREDNS = "ingot:coredns"
_RBAC = "rbac.authorization.k8s.io"


def base_objects() -> list[dict[str, Any]]:
    """Return what lets CoreDNS read the names it answers."""
    watched = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _COREDNS},
        "rules": watched,
    }
    binding = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _COREDNS},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": _COREDNS},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": _COREDNS}],
    }
    return [role, binding]
