"""Objects as the API server would hold them, and what the controller reads from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.ingress.kingress import KIngress, read_ingress
from operators.ingress.objects import Endpoints, Service, Subset, read_service

CLASS = "ingot.dev/gateway"


def split(name: str = "hello-1", percent: int = 100, **headers: str) -> dict[str, Any]:
    """Return a split to port 80 of a Service in namespace `fn`."""
    made: dict[str, Any] = {
        "serviceNamespace": "fn",
        "serviceName": name,
        "servicePort": 80,
        "percent": percent,
    }
    if headers:
        made["appendHeaders"] = {key.replace("_", "-"): value for key, value in headers.items()}
    return made


def path(*splits: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a path with splits; none means one to `hello-1`."""
    return {"splits": list(splits) or [split()], **fields}


def rule(*paths: dict[str, Any], host: str = "hello.example.com", local: bool = False) -> dict[str, Any]:
    """Return a rule for one host."""
    return {
        "hosts": [host],
        "visibility": "ClusterLocal" if local else "ExternalIP",
        "http": {"paths": list(paths) or [path()]},
    }


def document(*rules: dict[str, Any], name: str = "hello", **fields: Any) -> dict[str, Any]:
    """Return an Ingress of our class."""
    metadata = {
        "name": name,
        "namespace": "fn",
        "uid": fields.pop("uid", f"uid-{name}"),
        "generation": fields.pop("generation", 1),
        "creationTimestamp": fields.pop("created", "2026-01-01T00:00:00Z"),
        "annotations": {"networking.knative.dev/ingress.class": fields.pop("ingress_class", CLASS)},
    }
    return {"metadata": metadata, "spec": {"rules": list(rules) or [rule()], **fields}}


def ingress(*rules: dict[str, Any], **fields: Any) -> KIngress:
    """Return an Ingress as the controller reads it."""
    return read_ingress(document(*rules, **fields))


def by_key(*ingresses: KIngress) -> Mapping[str, KIngress]:
    return {each.key: each for each in ingresses}


def service(name: str = "http", **fields: Any) -> Service:
    """Return a Service with port 80."""
    return read_service({"spec": {"ports": [{"name": name, "port": 80}], **fields}})


def ready(*addresses: str, port: int = 8012, name: str = "http") -> Endpoints:
    """Return Endpoints with ready addresses."""
    return (Subset(addresses, {name: port}),)
