"""How the ingress runs: folders, listeners, names and times. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["IngressSettings"]


@dataclass(frozen=True, slots=True)
class IngressSettings:
    """Settings of the ingress; all times are seconds."""

    # Sockets live here; short, because a Unix path ends at 107 bytes.
    run_folder: Path
    # Configuration, maps and certificates. Nothing in it is memory: all of it is written anew.
    data_folder: Path
    # The annotation's value by which an Ingress chooses this gateway.
    ingress_class: str = "ingot.dev/gateway"
    # Services of the gateway as Knative's own objects point at them: `name.namespace`.
    public_service: str = "gateway.ingot-system"
    private_service: str = "gateway-internal.ingot-system"
    cluster_domain: str = "cluster.local"
    # Open calls and idle connections together; each may need two descriptors.
    connections: int = 9_000
    # Replaced entries, slots and certificates are kept this long for calls that still hold them.
    grace: float = 10.0
    # A new rule waits so long for its backends' first address before it goes live without one.
    patience: float = 10.0

    # Every call is a line of the log, or only those that failed.
    log_all: bool = True
    # Whom HAProxy becomes after it has opened its files, where it is started as root.
    worker_uid: int | None = None

    def socket(self, name: str) -> str:
        """Return the path of a socket in the run folder."""
        return str(self.run_folder / name)

    @property
    def admin_socket(self) -> str:
        """The serving worker's runtime socket."""
        return self.socket("ingress-admin.sock")

    @property
    def master_socket(self) -> str:
        """The master's socket, which reloads."""
        return self.socket("ingress-master.sock")

    def probe_socket(self, table: str) -> str:
        """Where the controller asks a listener which rules are live."""
        return self.socket(f"probe-{table}.sock")

    @property
    def gateway_socket(self) -> str:
        """Where the functions' gateway of the same machine or pod hands over its calls."""
        return self.socket("private.sock")

    @property
    def config_file(self) -> Path:
        """Processes, listeners and rules."""
        return self.data_folder / "ingress.cfg"

    @property
    def slots_file(self) -> Path:
        """The slots with their servers, as a second configuration file."""
        return self.data_folder / "slots.cfg"

    @property
    def certificate_list(self) -> Path:
        """Which certificate is shown for which hosts; the first one is for all others."""
        return self.data_folder / "certificates.list"

    @property
    def default_certificate(self) -> Path:
        """What a caller sees who names no host that has a certificate."""
        return self.data_folder / "default.pem"

    def certificate_file(self, name: str) -> Path:
        """Return the path of a certificate, which is also its name on the runtime socket."""
        return self.data_folder / f"{name}.pem"

    def map_file(self, name: str) -> Path:
        """Return the path of a map, which is also its name on the runtime socket."""
        return self.data_folder / f"{name}.map"
