"""What should run: the documents that the reconciler writes for host and gateway.

These are values only. Pure functions build them from releases and keys
(`services.reconciling`), the host and the gateway adapter read them. Field
names are the names in the JSON files, so both sides can be read side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CallerKey",
    "Cors",
    "FunctionPolicy",
    "GatewayState",
    "HostState",
    "HostTarget",
    "Limits",
    "ReleaseShare",
    "Route",
    "Share",
    "Takedown",
    "Target",
    "WantedRelease",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance may use, and how many there may be."""

    memory_mb: int = 256
    # From the first byte of the request to the last of the answer.
    timeout_ms: int = 30_000
    # Requests that one instance serves at once.
    concurrency: int = 1
    # Instances of one version at the same time.
    instances: int = 4


@dataclass(frozen=True, slots=True)
class HostTarget:
    """One version under one release's settings: what a listening socket leads to.

    `id` is `t` and 16 hex digits of the template key's hash (DESIGN 10): other
    settings, another digest or another organization is another target.
    """

    id: str
    organization: str
    project: str
    function: str
    function_name: str
    version: str
    number: int
    digest: str
    # e.g. "python3.11"
    runtime: str
    # "handler", "asgi" or "wsgi"
    kind: str
    # "module:attribute" inside the source layer
    handler: str
    # layer role ("function", "deps") -> "sha256:<hex>", unpacked at <layers>/<hex>
    layers: Mapping[str, str]
    input_schema: Any = None
    output_schema: Any = None
    limits: Limits = field(default_factory=Limits)
    settings: Mapping[str, str] = field(default_factory=dict)
    # name -> sealed value (base64); only the host opens it, just before the fork
    secrets: Mapping[str, str] = field(default_factory=dict)
    # May answer by SSE, chunks or WebSocket: billed by its end record.
    streaming: bool = False
    # Keep a level-2 template ready even when idle.
    warm: bool = True
    # Its code will change again soon, so nothing is made in advance for it.
    volatile: bool = False
    # What its release stands on: a base image's digest where images run, else an interpreter's build.
    base: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseShare:
    """A target's part of a release's calls, and the tag that it is called by."""

    target: str
    percent: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class WantedRelease:
    """The release that a function's calls follow; a cluster keeps one resource for each."""

    function: str
    function_name: str
    organization: str
    project: str
    number: int
    digest: str
    # Under the policy in force: 0 is unreviewed.
    approvals: int
    # Only targets that get calls or have a tag; others of the function stand by.
    shares: tuple[ReleaseShare, ...]


@dataclass(frozen=True, slots=True)
class Takedown:
    """Digests of a function's versions that may not run any more."""

    function: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostState:
    """All that the function host must listen for. `epoch` only grows."""

    epoch: int
    targets: tuple[HostTarget, ...]
    # One for each function that has a release. The host needs neither these nor takedowns: its targets
    # say all, and nobody else writes them.
    releases: tuple[WantedRelease, ...] = ()
    takedowns: tuple[Takedown, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """One server of the gateway: the Unix socket of a HostTarget (same `id`)."""

    id: str
    # Absolute path of the listening socket.
    socket: str
    organization: str
    project: str
    function: str
    version: str
    # instances x concurrency
    maxconn: int
    timeout_ms: int
    memory_mb: int
    streaming: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """A target's part of a route's traffic, in percent."""

    target: str
    percent: int


@dataclass(frozen=True, slots=True)
class Route:
    """`/{path}` on the functions' origin. Shares add up to 100.

    `path` is "acme/orders", "acme/orders@7" or "acme/orders@canary": a version
    or a tag is a route of its own.
    """

    path: str
    function: str
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Cors:
    """Which browser origins may call. An empty tuple allows none."""

    origins: tuple[str, ...] = ()
    max_age_s: int = 600


@dataclass(frozen=True, slots=True)
class FunctionPolicy:
    """What the gateway checks before it lets a call through to a function."""

    function: str
    project: str
    organization: str
    # Callable without a key; only by review.
    public: bool = False
    # The function checks `Authorization` itself, so it is passed on; reviewed.
    own_authentication: bool = False
    # The author asked for no `Content-Security-Policy: sandbox`; reviewed.
    unsandboxed_page: bool = False
    # Calls in 10 seconds over all keys; 0 means no limit.
    rate_10s: int = 0
    # Calls at once over all keys; 0 means no limit.
    concurrency: int = 0
    body_limit: int = 6_000_000
    cors: Cors = field(default_factory=Cors)


@dataclass(frozen=True, slots=True)
class CallerKey:
    """An API key as the gateway knows it: only its hash."""

    # Lower-case hex SHA-256 of the whole key.
    sha256: str
    key: str
    organization: str
    # Function ids or project ids that the key may call.
    scopes: tuple[str, ...]
    # Calls in 10 seconds; 0 means no limit.
    rate_10s: int = 0
    concurrency: int = 0
    # Unix seconds; 0 means never.
    expires_at: int = 0
    # "sync", "stream" and "async": how it may call; empty means every way.
    modes: tuple[str, ...] = ()
    # Networks such as "10.0.0.0/8" that it may call from; empty means everywhere.
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayState:
    """All that the gateway must know. `epoch` only grows."""

    epoch: int
    targets: tuple[Target, ...]
    routes: tuple[Route, ...]
    policies: tuple[FunctionPolicy, ...]
    keys: tuple[CallerKey, ...]
