"""Every protocol between the services and the outside world, in one file.

A protocol stands here only when two implementations exist (an adapter and its
contract-tested fake count as two). Nothing here may import an adapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from control_plane.domain.desired import GatewayState, HostState, HostTarget

__all__ = [
    "Blobs",
    "Clock",
    "Entropy",
    "Gateway",
    "GatewayChange",
    "Prepared",
    "Runtime",
    "Sealer",
    "TestCall",
    "TestOutcome",
]


class Clock(Protocol):
    """Time as the services see it."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds, UTC."""
        ...


class Entropy(Protocol):
    """Randomness as the services see it."""

    def bits(self, count: int) -> int:
        """Return `count` random bits as a non-negative integer."""
        ...


class Blobs(Protocol):
    """Content-addressed bytes. A digest is `sha256:` and 64 hex digits."""

    def put(self, content: bytes) -> str:
        """Store and return the digest; storing the same content again is free."""
        ...

    def get(self, digest: str) -> bytes:
        """Return the content, verified. Raises FileNotFoundError."""
        ...

    def has(self, digest: str) -> bool:
        """Say whether the content is there."""
        ...


class Sealer(Protocol):
    """Encrypts secret values; only holders of the master key open them."""

    def seal(self, tenant: str, plain: bytes) -> str:
        """Return base64 text that names its key; bound to the tenant's id."""
        ...

    def open(self, tenant: str, sealed: str) -> bytes:
        """Return the plain value. Raises ValueError if it is not this tenant's or was changed."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """Whether a target's code loads and serves."""

    ok: bool
    ms: float = 0.0
    # One of the failure codes in docs/contracts.md, empty when ok.
    code: str = ""
    message: str = ""
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TestCall:
    """A request for a one-shot instance."""

    __test__ = False

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What a one-shot instance did. `code` is empty when it answered at all."""

    __test__ = False

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    logs: tuple[Mapping[str, Any], ...] = ()
    duration_ms: float = 0.0
    import_ms: float = 0.0
    # (module, self time in µs, cumulative time in µs), slowest first
    import_profile: tuple[tuple[str, int, int], ...] = ()
    peak_mb: float = 0.0
    code: str = ""
    message: str = ""


class Runtime(Protocol):
    """Runs versions: the function host here, Knative in a cluster."""

    def apply(self, state: HostState) -> None:
        """Make the wanted state so, durably; returns when every target can be reached."""
        ...

    def prepare(self, target: str, timeout_ms: int) -> Prepared:
        """Load a target's code once and say whether it serves."""
        ...

    def test(self, target: HostTarget, call: TestCall) -> TestOutcome:
        """Run one request in a one-shot instance of the same sandbox."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Return what runs, as in docs/contracts.md."""
        ...

    def socket_path(self, target: str) -> str:
        """Return the Unix socket that the gateway connects to."""
        ...


@dataclass(frozen=True, slots=True)
class GatewayChange:
    """How a state went live."""

    commands: int = 0
    reloaded: bool = False
    # Ids of targets whose slots hold connections still, kept until they end.
    lingering: tuple[str, ...] = field(default_factory=tuple)


class Gateway(Protocol):
    """Lets calls in: HAProxy in both worlds."""

    def apply(self, state: GatewayState) -> GatewayChange:
        """Make the state live, files first, then the running workers; returns when it is live."""
        ...

    def cut(self, target_or_key: str) -> int:
        """End the open sessions of a key or target in every worker; returns how many."""
        ...
