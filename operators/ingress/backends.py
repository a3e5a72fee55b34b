"""Which servers stand behind `namespace/service:port`: a pure look into the watched objects.

Names outside the cluster were resolved before; the network is never asked here.
"""

from __future__ import annotations

from operators.ingress.model import Pending, Server
from operators.ingress.objects import Endpoints, Port, Service, Watched, usable_address

__all__ = ["cluster_service", "external_names", "servers_of"]


def _port(service: Service, wanted: str) -> Port | None:
    found = next((port for port in service.ports if wanted in {port.name, str(port.number)}), None)
    if found is None and service.external_name and wanted.isdecimal():
        # An ExternalName Service needs no ports of its own.
        return Port("", int(wanted), h2=False)
    return found


def cluster_service(name: str, cluster_domain: str) -> str | None:
    """Return `namespace/name` of a Service's name in the cluster's DNS, or None."""
    suffix = f".svc.{cluster_domain}"
    parts = name.removesuffix(suffix).split(".")
    return f"{parts[1]}/{parts[0]}" if name.endswith(suffix) and len(parts) == 2 else None


def external_names(watched: Watched, cluster_domain: str) -> frozenset[str]:
    """Return the names that only a resolver outside can turn into addresses."""
    names = {service.external_name for service in watched.services.values() if service.external_name}
    return frozenset(name for name in names if cluster_service(name, cluster_domain) is None)


def _ready(endpoints: Endpoints, port: Port) -> tuple[Server, ...]:
    found: set[Server] = set()
    for subset in endpoints:
        number = subset.ports.get(port.name)
        if number is None and len(subset.ports) == 1:
            number = next(iter(subset.ports.values()))
        if number is not None:
            found.update(Server(address, number, port.h2) for address in subset.addresses)
    return tuple(sorted(found, key=lambda server: server.name))


def _external(
    service: Service, port: Port, watched: Watched, cluster_domain: str
) -> tuple[tuple[Server, ...], Pending | None]:
    inside = cluster_service(service.external_name, cluster_domain)
    if inside is None:
        known = watched.resolved.get(service.external_name, ())
        addresses = tuple(address for address in known if usable_address(address))
        if not addresses:
            return (), Pending("NameNotResolved", f"{service.external_name} has no address")
        return tuple(Server(address, port.number, port.h2) for address in sorted(addresses)), None
    target = watched.services.get(inside)
    if target is None:
        return (), Pending("BackendNotFound", f"there is no Service {inside}")
    if target.cluster_ip:
        return (Server(target.cluster_ip, port.number, port.h2),), None
    return _ready(watched.endpoints.get(inside, ()), port), None


def servers_of(
    backend: str, watched: Watched, cluster_domain: str
) -> tuple[tuple[Server, ...], Pending | None]:
    """Return a backend's servers, and what is wrong when an object is missing."""
    key, _, wanted = backend.rpartition(":")
    service = watched.services.get(key)
    if service is None:
        return (), Pending("BackendNotFound", f"there is no Service {key}")
    port = _port(service, wanted)
    if port is None:
        return (), Pending("BackendNotFound", f"Service {key} has no port {wanted}")
    if service.external_name:
        return _external(service, port, watched, cluster_domain)
    return _ready(watched.endpoints.get(key, ()), port), None
