"""How a registry is reached: its address, who asks, and how patient the asker is. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Access", "Patience"]


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of one conversation, in seconds and times; nothing waits without one."""

    connect: float = 5.0
    # For one read or one write on a connection.
    transfer: float = 30.0
    # For one request with all its bytes: a peer that sends one byte now and then is cut off.
    request: float = 300.0
    # For one whole operation, every attempt and wait of it included.
    operation: float = 600.0
    attempts: int = 5
    # The longest wait that a registry may ask for by Retry-After.
    retry_after: float = 60.0


@dataclass(frozen=True, slots=True)
class Access:
    """One registry and who asks it."""

    # host or host:port
    address: str
    # Without TLS: for a registry inside the cluster, or on loopback.
    plain_http: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    # A file of CA certificates instead of the system's; empty for the system's.
    ca_file: str = ""
    patience: Patience = field(default_factory=Patience)

    @property
    def scheme(self) -> str:
        """Return what is spoken to the registry itself."""
        return "http" if self.plain_http else "https"

    @property
    def origin(self) -> str:
        """Return the beginning of the registry's URLs."""
        return f"{self.scheme}://{self.address}"
