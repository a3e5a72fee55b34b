"""What the ingress needs in a cluster: its rights, and the Services that Knative's objects point at. Pure.

Printed as JSON lines for `kubectl apply --server-side -f -`. Where HAProxy runs as
pods, the Services select them; on a machine that is its own node they lead to its
address.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from operators.ingress.settings import IngressSettings

__all__ = ["PORTS", "make_endpoints", "make_namespace", "make_rights", "make_service", "manifests"]

Object = dict[str, Any]

NAME = "ingot-gateway"
LABELS = {"app.kubernetes.io/name": "ingot", "app.kubernetes.io/component": "gateway"}
TYPES = ("ClusterIP", "NodePort", "LoadBalancer")
# Port of the Service and of the listener, by the name that Knative knows it by.
PORTS = {"public": {"http2": (80, 8080), "https": (443, 8443)}, "private": {"http2": (80, 8081)}}


def make_namespace(name: str) -> Object:
    """Return the namespace of the gateway's Services."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def make_rights(subject: Object) -> list[Object]:
    """Return what the controller may do: look, and write the status of Ingresses."""
    look = ["get", "list", "watch"]
    group = "networking.internal.knative.dev"
    rules = [
        # Certificates lie in the namespaces of those who use them.
        {"apiGroups": [""], "resources": ["services", "endpoints", "secrets"], "verbs": look},
        {"apiGroups": [group], "resources": ["ingresses"], "verbs": look},
        {"apiGroups": [group], "resources": ["ingresses/status"], "verbs": ["patch"]},
    ]
    api = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": _named(NAME), "rules": rules}
    binding = {
        "apiVersion": f"{api}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": _named(NAME),
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": NAME},
        "subjects": [subject],
    }
    return [role, binding]


def _named(name: str, namespace: str = "") -> Object:
    return {"name": name, "labels": dict(LABELS), **({"namespace": namespace} if namespace else {})}


def make_service(
    full_name: str, table: str, selector: dict[str, str] | None = None, kind: str = "ClusterIP"
) -> Object:
    """Return the Service of a listener; without a selector its Endpoints say where it is."""
    name, _, namespace = full_name.partition(".")
    ports = [
        {"name": port, "port": number, "targetPort": listener, "protocol": "TCP"}
        for port, (number, listener) in PORTS[table].items()
    ]
    spec: Object = {"type": kind, "ports": ports}
    if selector:
        spec["selector"] = dict(selector)
    return {"apiVersion": "v1", "kind": "Service", "metadata": _named(name, namespace), "spec": spec}


def make_endpoints(full_name: str, table: str, address: str) -> Object:
    """Return the address of a listener that is no pod."""
    name, _, namespace = full_name.partition(".")
    ports = [
        {"name": port, "port": listener, "protocol": "TCP"} for port, (_, listener) in PORTS[table].items()
    ]
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": _named(name, namespace),
        "subsets": [{"addresses": [{"ip": address}], "ports": ports}],
    }


def manifests(
    settings: IngressSettings, subject: Object, address: str | None, kind: str = "ClusterIP"
) -> list[Object]:
    """Return all objects; `address` is the node's where HAProxy is no pod, `kind` the public type."""
    services = {"public": settings.public_service, "private": settings.private_service}
    namespaces = dict.fromkeys(name.partition(".")[2] for name in services.values())
    objects = [make_namespace(name) for name in namespaces]
    objects += make_rights(subject)
    for table, name in services.items():
        selector = None if address else LABELS
        objects.append(make_service(name, table, selector, kind if table == "public" else "ClusterIP"))
        if address:
            objects.append(make_endpoints(name, table, address))
    return objects


def main(arguments: list[str] | None = None) -> None:
    """Print the objects."""
    from pathlib import Path

    parser = argparse.ArgumentParser(prog="python -m operators.ingress.manifests", description=__doc__)
    parser.add_argument("--address", help="the node's address, where HAProxy is no pod")
    parser.add_argument("--user", help="the API server's name for the controller; default: a service account")
    parser.add_argument(
        "--type", choices=TYPES, default="ClusterIP", help="of the Service that calls from outside come by"
    )
    given = parser.parse_args(arguments)
    settings = IngressSettings(Path(), Path())
    account = {
        "kind": "ServiceAccount",
        "name": NAME,
        "namespace": settings.public_service.partition(".")[2],
    }
    user = {"kind": "User", "name": given.user, "apiGroup": "rbac.authorization.k8s.io"}
    for each in manifests(settings, user if given.user else account, given.address, given.type):
        print(json.dumps(each))


if __name__ == "__main__":
    main()
