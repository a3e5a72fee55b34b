"""Services, Endpoints and Secrets as far as the ingress needs them, read from the API server's objects.

Addresses are checked here: what is no address of a pod or a Service is dropped.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from control_plane.adapters.gateway.certificate import prove_certificate
from control_plane.errors import Invalid
from operators.ingress.kingress import KIngress

__all__ = [
    "Endpoints",
    "Port",
    "Service",
    "Subset",
    "TlsSecret",
    "Watched",
    "read_endpoints",
    "read_secret",
    "read_service",
    "usable_address",
]

_H2_NAMES = frozenset({"h2c", "http2"})


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service; the name is empty when it is the only one."""

    name: str
    number: int
    h2: bool


@dataclass(frozen=True, slots=True)
class Service:
    """Where a name inside the cluster leads."""

    ports: tuple[Port, ...]
    cluster_ip: str = ""
    external_name: str = ""


@dataclass(frozen=True, slots=True)
class Subset:
    """Addresses that are ready, with the number of each named port."""

    addresses: tuple[str, ...]
    ports: Mapping[str, int]


Endpoints = tuple[Subset, ...]


@dataclass(frozen=True, slots=True)
class TlsSecret:
    """A certificate with its key, or what is wrong with it."""

    pem: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """All that the wanted state is made of; each mapping is by `namespace/name`."""

    ingresses: Mapping[str, KIngress] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoints] = field(default_factory=dict)
    secrets: Mapping[str, TlsSecret] = field(default_factory=dict)
    # Names outside the cluster, as the resolver last knew them.
    resolved: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def usable_address(text: Any) -> bool:
    """Say whether calls may be sent there: never to this machine itself, nor to link-local services."""
    try:
        # A number would be read as an address too.
        address = ip_address(str(text))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    refused = mapped.is_loopback or mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified
    return not refused and getattr(address, "scope_id", None) is None


def _number(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 65_536 else 0


def read_service(document: Mapping[str, Any]) -> Service:
    """Read a Service."""
    spec = document.get("spec") or {}
    ports = tuple(
        Port(
            name=str(port.get("name") or ""),
            number=number,
            h2=port.get("name") in _H2_NAMES or port.get("appProtocol") == "kubernetes.io/h2c",
        )
        for port in spec.get("ports") or []
        if (number := _number(port.get("port")))
    )
    external = str(spec.get("externalName") or "").rstrip(".") if spec.get("type") == "ExternalName" else ""
    address = str(spec.get("clusterIP") or "")
    return Service(ports, address if usable_address(address) else "", external.lower())


def read_endpoints(document: Mapping[str, Any]) -> Endpoints:
    """Read the ready addresses of a Service."""
    return tuple(
        Subset(
            addresses=tuple(
                str(each["ip"]) for each in subset.get("addresses") or [] if usable_address(each.get("ip"))
            ),
            ports={
                str(port.get("name") or ""): number
                for port in subset.get("ports") or []
                if (number := _number(port.get("port")))
            },
        )
        for subset in document.get("subsets") or []
    )


def read_secret(document: Mapping[str, Any]) -> TlsSecret:
    """Read a certificate and prove that its key is the one that belongs to it."""
    data = document.get("data") or {}
    try:
        chain, key = (base64.b64decode(data[name], validate=True).decode() for name in ("tls.crt", "tls.key"))
        return TlsSecret(pem=prove_certificate(chain, key, "the Secret").pem)
    except KeyError as error:
        return TlsSecret(problem=f"the Secret has no {error.args[0]}")
    except (binascii.Error, UnicodeDecodeError):
        return TlsSecret(problem="the Secret holds no text in PEM")
    except Invalid as error:
        return TlsSecret(problem=str(error))
