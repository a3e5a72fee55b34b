"""The one pure function: watched objects in, all that HAProxy shall hold and what to report out.

The class keeps what it made of each Ingress, because most are unchanged when one
changes; the result is the same without its memory. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from control_plane.adapters.gateway.slots import assign_numbers
from control_plane.adapters.gateway.weights import content_id
from operators.ingress.backends import servers_of
from operators.ingress.kingress import KIngress, Refused
from operators.ingress.model import MAP_NAMES, Certificate, Desired, Maps, Pending, Positions, Server, Verdict
from operators.ingress.objects import Endpoints, Service, Watched
from operators.ingress.translate import Part, make_part

__all__ = ["Before", "Translator"]

# Each name is a line of the configuration; what is beyond is refused.
MOST_HEADER_NAMES = 64

Backed = tuple[tuple[Server, ...], Pending | None]


@dataclass(frozen=True, slots=True)
class Before:
    """What the wanted state goes on from."""

    positions: Positions = field(default_factory=Positions)
    # Backends whose slots are still in use although nothing leads there any more.
    lingering: Collection[str] = ()
    # The Ingresses whose rules are live.
    accepted: Mapping[str, KIngress] = field(default_factory=dict)
    # Those that have waited for an address long enough.
    impatient: Collection[str] = ()
    # Certificates that HAProxy would not take, and why.
    refused_certificates: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Round:
    """One computation."""

    watched: Watched
    before: Before
    backed: dict[str, Backed] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    # Ingresses that ask for a host of another's.
    late: set[str] = field(default_factory=set)


class Translator:
    """Makes the wanted state for one ingress class."""

    def __init__(self, ingress_class: str, cluster_domain: str = "cluster.local") -> None:
        self._class = ingress_class
        self._domain = cluster_domain
        self._parts: dict[str, tuple[KIngress, object, Part | Pending]] = {}
        self._servers: dict[str, tuple[Service, Endpoints | None, Backed]] = {}
        self._served: dict[str, tuple[KIngress, Part, Verdict]] = {}
        self._certificates: dict[tuple[str, tuple[str, ...]], Certificate] = {}

    def desired(self, watched: Watched, before: Before) -> Desired:
        """Return the wanted state."""
        work = _Round(watched, before)
        chosen = [(self._choose(ingress, work), ingress) for ingress in self._ours(watched)]
        positions, idle = _positions([used for used, _ in chosen], before)
        maps: Maps = {name: {} for name in MAP_NAMES}
        certificates: dict[str, Certificate] = {}
        verdicts = []
        for used, asked in chosen:
            part = self._part(used, positions, work)
            certified = self._certify(used, certificates, work) if used.tls else None
            verdicts.append(self._verdict(used, asked, (part, certified), work))
            if isinstance(part, Part):
                for name, entries in part.maps.items():
                    maps[name].update(entries)
        self._forget(watched, positions)
        servers = {number: self._backed(name, work)[0] for name, number in positions.slots.items()}
        return Desired(positions, maps, servers, certificates, tuple(verdicts), idle)

    def _ours(self, watched: Watched) -> list[KIngress]:
        """Return the Ingresses of the class, the oldest first: it keeps a host that two ask for."""
        ours = [ingress for ingress in watched.ingresses.values() if ingress.ingress_class == self._class]
        return sorted(ours, key=lambda ingress: (ingress.created, ingress.key))

    def _choose(self, ingress: KIngress, work: _Round) -> KIngress:
        """Keep the live rules until every new backend has an address, or patience ends."""
        chosen = ingress
        live = work.before.accepted.get(ingress.key)
        if live is not None and live.uid == ingress.uid and live.hash != ingress.hash:
            empty = any(not self._backed(backend, work)[0] for backend in ingress.backends)
            if ingress.refusal or (empty and ingress.key not in work.before.impatient):
                chosen = live
        for host in chosen.hosts:
            if work.owners.setdefault(host, ingress.key) != ingress.key:
                work.late.add(ingress.key)
        return chosen

    def _backed(self, backend: str, work: _Round) -> Backed:
        found = work.backed.get(backend)
        if found is not None:
            return found
        key = backend.rpartition(":")[0]
        service, endpoints = work.watched.services.get(key), work.watched.endpoints.get(key)
        kept = self._servers.get(backend)
        # Whatever differs is another object, so identity is enough.
        if kept is not None and kept[0] is service and kept[1] is endpoints:
            found = kept[2]
        else:
            found = servers_of(backend, work.watched, self._domain)
            # An ExternalName rests on other objects too.
            if service is not None and not service.external_name:
                self._servers[backend] = (service, endpoints, found)
        work.backed[backend] = found
        return found

    def _part(self, ingress: KIngress, positions: Positions, work: _Round) -> Part | Pending:
        foreign: frozenset[str] = frozenset()
        if ingress.key in work.late:
            foreign = frozenset(host for host in ingress.hosts if work.owners[host] != ingress.key)
        slots = [positions.slots[backend] for backend in ingress.backends]
        # Names keep their places, so what was made stays right when more come.
        memory = (foreign, slots)
        kept = self._parts.get(ingress.key)
        if kept is not None and kept[0] is ingress and kept[1] == memory:
            return kept[2]
        try:
            _check_names(ingress, positions)
            part: Part | Pending = make_part(ingress, foreign, positions)
        except Refused as refused:
            part = Pending("NotSupported", str(refused), final=True)
        self._parts[ingress.key] = (ingress, memory, part)
        return part

    def _certify(
        self, ingress: KIngress, certificates: dict[str, Certificate], work: _Round
    ) -> Pending | None:
        """Add the Ingress's certificates for hosts of its own; returns why one is not served."""
        problem: Pending | None = None
        for tls in ingress.tls:
            secret = work.watched.secrets.get(tls.secret)
            if secret is None or secret.problem:
                why = f"there is no Secret {tls.secret}" if secret is None else secret.problem
                problem = Pending("CertificateNotUsable", f"{tls.secret}: {why}" if secret else why)
                continue
            asked = tls.hosts or ingress.hosts
            hosts = tuple(host for host in asked if work.owners.get(host) == ingress.key)
            if not hosts:
                continue
            certificate = self._certificate(secret.pem, hosts)
            refusal = work.before.refused_certificates.get(certificate.id)
            if refusal is None:
                certificates[certificate.id] = certificate
            else:
                problem = Pending("CertificateNotUsable", f"{tls.secret}: {refusal}")
        return problem

    def _certificate(self, pem: str, hosts: tuple[str, ...]) -> Certificate:
        kept = self._certificates.get((pem, hosts))
        if kept is None:
            name = content_id("c", "\n".join([pem, *hosts]), 32)
            kept = self._certificates[pem, hosts] = Certificate(name, pem, hosts)
        return kept

    def _verdict(
        self, used: KIngress, asked: KIngress, made: tuple[Part | Pending, Pending | None], work: _Round
    ) -> Verdict:
        part, certified = made
        backed = [self._backed(backend, work) for backend in asked.backends]
        pending = part if isinstance(part, Pending) else certified
        pending = next((problem for _, problem in backed if problem is not None), pending)
        if asked.key in work.late:
            taken = next((host for host in asked.hosts if work.owners.get(host) != asked.key), "a host")
            owner = work.owners.get(taken, "another")
            pending = Pending("HostTaken", f"{taken} belongs to Ingress {owner}", final=True)
        if pending is None and asked.key not in work.before.impatient and not all(each for each, _ in backed):
            pending = Pending("WaitingForEndpoints", "a backend has no address that is ready")
        if asked.refusal:
            pending = Pending("NotSupported", asked.refusal, final=True)
        if pending is None and used is asked and isinstance(part, Part):
            return self._serve(asked, part)
        probes = part.probes if isinstance(part, Part) else ()
        return Verdict(asked.key, asked.generation, asked.hash, probes, pending, held=used is not asked)

    def _serve(self, ingress: KIngress, part: Part) -> Verdict:
        kept = self._served.get(ingress.key)
        if kept is not None and kept[0] is ingress and kept[1] is part:
            return kept[2]
        verdict = Verdict(ingress.key, ingress.generation, ingress.hash, part.probes)
        self._served[ingress.key] = (ingress, part, verdict)
        return verdict

    def _forget(self, watched: Watched, positions: Positions) -> None:
        for gone in self._parts.keys() - watched.ingresses.keys():
            del self._parts[gone]
            self._served.pop(gone, None)
        for backend in self._servers.keys() - positions.slots.keys():
            del self._servers[backend]
        if len(self._certificates) > 2 * len(watched.secrets) + 100:
            self._certificates.clear()


def _positions(ingresses: list[KIngress], before: Before) -> tuple[Positions, frozenset[str]]:
    """Keep every place and give new backends and names the next ones; returns what is idle too."""
    earlier = before.positions
    wanted = dict.fromkeys(backend for ingress in ingresses for backend in ingress.backends)
    lingering = [name for name in before.lingering if name in earlier.slots]
    names = dict.fromkeys([*wanted, *lingering])
    taken = {earlier.slots[name] for name in names if name in earlier.slots}
    slots, count = assign_numbers(names, earlier.slots, taken, earlier.count)
    appended = _places(earlier.appended, (ingress.appended for ingress in ingresses))
    matched = _places(earlier.matched, (ingress.matched for ingress in ingresses))
    return Positions(slots, count, appended, matched), frozenset(
        name for name in lingering if name not in wanted
    )


def _places(known: tuple[str, ...], used: Iterable[frozenset[str]]) -> tuple[str, ...]:
    """Add names that have no place yet; the same name in another spelling has one."""
    spelled = {name.lower() for name in known}
    exact = set(known)
    found = list(known)
    for names in used:
        for name in sorted(names - exact):
            exact.add(name)
            if name.lower() not in spelled and len(found) < MOST_HEADER_NAMES:
                found.append(name)
                spelled.add(name.lower())
    return tuple(found)


def _check_names(ingress: KIngress, positions: Positions) -> None:
    for known, used in ((positions.appended, ingress.appended), (positions.matched, ingress.matched)):
        missing = {name.lower() for name in used} - {name.lower() for name in known}
        if missing:
            raise Refused(f"header {min(missing)} would be one name more than the gateway looks at")
