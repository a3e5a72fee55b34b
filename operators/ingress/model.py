"""What the ingress's parts tell each other: servers, positions, the wanted state and its verdicts.

Values only: reading objects, speaking to HAProxy and deciding may not live here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

__all__ = [
    "MAP_NAMES",
    "TABLES",
    "Certificate",
    "Desired",
    "Maps",
    "Pending",
    "Positions",
    "Probe",
    "Server",
    "Servers",
    "Verdict",
]

# The two listeners, each with routes and hashes of its own.
TABLES = ("public", "private")

# Every map of the chain, in the order in which a call meets them.
MAP_NAMES = (
    "routes-public",
    "routes-private",
    "redirects",
    "steps",
    "states",
    "weights",
    "splits",
    "hashes-public",
    "hashes-private",
)

Maps = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Server:
    """One address behind a slot; the name holds all of it, so nothing is ever changed in place."""

    address: str
    port: int
    # HTTP/2 without TLS, as gRPC needs it.
    h2: bool = False

    @property
    def name(self) -> str:
        """HAProxy's name for it."""
        plain = self.address.replace(".", "-").replace(":", "_")
        return f"{plain}-{self.port}{'-h2' if self.h2 else ''}"

    @property
    def words(self) -> str:
        """Address and options, the same in the file and on the socket."""
        bracketed = f"[{self.address}]" if isinstance(ip_address(self.address), IPv6Address) else self.address
        return f"{bracketed}:{self.port}{' proto h2' if self.h2 else ''}"


Servers = dict[int, tuple[Server, ...]]


@dataclass(frozen=True, slots=True)
class Positions:
    """What stays where it is: slots of backends, and header names, which stand in the configuration."""

    slots: Mapping[str, int] = field(default_factory=dict)
    count: int = 64
    # Names that a split may set, and names that a route may match: first those that Knative uses.
    appended: tuple[str, ...] = (
        "Knative-Serving-Revision",
        "Knative-Serving-Namespace",
        "Knative-Serving-Default-Route",
        "Knative-Serving-Tag",
        "K-Original-Host",
    )
    matched: tuple[str, ...] = ("Knative-Serving-Tag",)

    @property
    def shape(self) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
        """What only a reload changes."""
        return self.count, self.appended, self.matched


@dataclass(frozen=True, slots=True)
class Probe:
    """A question whose answer proves that an Ingress's newest rules are live."""

    table: str
    host: str
    path: str


@dataclass(frozen=True, slots=True)
class Pending:
    """Why an Ingress cannot be ready yet."""

    reason: str
    message: str
    # Nothing but an edit of the Ingress or of another object makes it good.
    final: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one Ingress: served as it is now (`pending` is None), or why not."""

    key: str
    generation: int
    hash: str
    probes: tuple[Probe, ...] = ()
    pending: Pending | None = None
    # Its rules are those that were live before; the new ones wait for an address to send calls to.
    held: bool = False


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain with its key, and the hosts it is shown for; the id is the hash of both."""

    id: str
    pem: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Desired:
    """All that HAProxy shall hold, and what to report."""

    positions: Positions = field(default_factory=Positions)
    maps: Maps = field(default_factory=lambda: {name: {} for name in MAP_NAMES})
    servers: Servers = field(default_factory=dict)
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    # Backends that nothing leads to any more; they keep their slots for a while.
    idle: frozenset[str] = frozenset()
