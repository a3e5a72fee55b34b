"""What the gateway's parts tell each other: settings, paths and slot servers.

Values only: reading files, speaking to HAProxy and deciding may not live here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["MAP_NAMES", "GatewaySettings", "SlotServer"]

# Every map of the chain, in the order in which a call meets them.
MAP_NAMES = (
    "hosts",
    "routes",
    "policies",
    "cors",
    "lease",
    "keys",
    "addresses",
    "scopes",
    "weights",
    "splits",
    "modes",
    "hop",
)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How the gateway runs; all times are milliseconds."""

    # Sockets live here; short, because a Unix path ends at 107 bytes.
    run_folder: Path
    # The data folder's `gateway` subfolder: config, maps, servers.json, access.log.
    data_folder: Path
    # Open calls and idle connections together; each may need two descriptors.
    connections: int = 4_000
    # Slots of a fresh installation; doubled by a reload when used up.
    first_slots: int = 256
    # How long a caller may take to send its headers, and its body's beginning.
    request_timeout_ms: int = 10_000
    # An idle keep-alive connection is closed after this.
    idle_timeout_ms: int = 60_000
    # The longest wait for a free place of a version.
    queue_timeout_ms: int = 10_000
    # Callers beyond this many waiting ones for one version get 503 at once.
    longest_queue: int = 1_024
    # Longest silence of a WebSocket.
    tunnel_timeout_ms: int = 3_600_000
    # Longest silence of the control plane's API, and of its event streams.
    api_timeout_ms: int = 120_000
    # Processes of the API, each with a socket of its own.
    api_processes: int = 1
    stream_timeout_ms: int = 3_600_000
    # Replaced splits and servers are kept this long for calls that still hold them.
    grace_ms: int = 10_000
    # Group whose members may speak to the admin and master sockets; None means the owner only.
    control_gid: int | None = None

    # Where a cluster's ingress answers for its hosts: a socket's path or `IP:port`; empty on one machine.
    ingress: str = ""

    # How many gateways share the callers, and so the limits.
    replicas: int = 1

    # Whether both origins speak HTTPS, with the certificate in `certificate_file`.
    tls: bool = False
    # What callers speak, to us or to a proxy in front of us.
    console_scheme: str = "http"
    functions_scheme: str = "http"
    # Of the traces that begin here, so many are marked to be exported; 0 means that none is.
    trace_percent: float = 0.0

    def socket(self, name: str) -> str:
        """Return the path of a socket in the run folder."""
        return str(self.run_folder / name)

    @property
    def admin_socket(self) -> str:
        """The serving worker's runtime socket."""
        return self.socket("gateway-admin.sock")

    @property
    def master_socket(self) -> str:
        """The master's socket: reload, and every worker, draining ones included."""
        return self.socket("gateway-master.sock")

    @property
    def relay_socket(self) -> str:
        """The inner frontend of streaming versions."""
        return self.socket("relay.sock")

    @property
    def config_file(self) -> Path:
        """The static part of HAProxy's configuration."""
        return self.data_folder / "haproxy.cfg"

    @property
    def certificate_file(self) -> Path:
        """The certificate with its chain and key; its path is its name on the runtime socket."""
        return self.data_folder / "tls.pem"

    @property
    def bind_options(self) -> str:
        """What stands behind the address of a public listener."""
        if not self.tls:
            return "proto h1"
        return f"proto h1 ssl crt {self.certificate_file} alpn http/1.1 ssl-min-ver TLSv1.2 no-tls-tickets"

    @property
    def slots_file(self) -> Path:
        """The slots and their servers, as a second configuration file."""
        return self.data_folder / "slots.cfg"

    @property
    def servers_file(self) -> Path:
        """Which server stands in which slot; the adapter's memory."""
        return self.data_folder / "servers.json"

    @property
    def changing_file(self) -> Path:
        """Stands while files and workers may differ; found at a start, it means reload."""
        return self.data_folder / "changing"

    def map_file(self, name: str) -> Path:
        """Return the path of a map, which is also its name on the runtime socket."""
        return self.data_folder / f"{name}.map"


@dataclass(frozen=True, slots=True)
class SlotServer:
    """A version's listening socket, or the ingress that leads to it, as HAProxy's server."""

    target: str
    # An absolute path, or `IP:port`.
    socket: str
    maxconn: int
