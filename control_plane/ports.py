"""Every protocol between the services and the outside world, in one file.

A protocol stands here only when two implementations exist (an adapter and its
contract-tested fake count as two). Nothing here may import an adapter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from control_plane.domain.desired import GatewayState, HostState, HostTarget
from control_plane.domain.events import Event
from control_plane.domain.functions import Declaration
from control_plane.domain.monitoring import Running
from control_plane.domain.retention import Content

__all__ = [
    "Anchor",
    "Blobs",
    "BreachedPasswords",
    "Broker",
    "Builder",
    "Built",
    "Clock",
    "Contents",
    "Entropy",
    "FileBytes",
    "FunctionLogs",
    "Gateway",
    "GatewayChange",
    "Images",
    "LogPage",
    "Passwords",
    "Prepared",
    "ReceivedBytes",
    "Runtime",
    "Sealer",
    "Signer",
    "StoredImage",
    "Telemetry",
    "TestCall",
    "TestOutcome",
    "VersionImage",
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


class ReceivedBytes(Protocol):
    """A file's bytes that have come and are not in their place yet."""

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hex digits of all of them."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def keep(self) -> None:
        """Put them in their place, durably."""
        ...


class FileBytes(Protocol):
    """The bytes of files, by the file's id; streamed, as they may be larger than memory."""

    def receive(self, file: str, chunks: Iterable[bytes]) -> AbstractContextManager[ReceivedBytes]:
        """Write the chunks aside; what is not kept in the block is deleted."""
        ...

    def open(self, file: str) -> IO[bytes]:
        """Return the bytes, to be closed by the caller. Raises FileNotFoundError."""
        ...

    def delete(self, file: str) -> None:
        """Delete the bytes and what is left of attempts to send them; repeating it is no error."""
        ...


class Contents(Protocol):
    """Blobs and unpacked layers as a clean-up sees them: how long nobody has relied on them."""

    def untouched_since(self, before_ms: int) -> Iterator[Content]:
        """Yield what nobody has written or relied on since then."""
        ...

    def parts(self, image: str) -> frozenset[str]:
        """Return the digests that an image's manifest names; none when it is no image."""
        ...

    def remove(self, content: Content, before_ms: int) -> bool:
        """Remove one, unless somebody has relied on it since `before_ms` or does now."""
        ...


class Sealer(Protocol):
    """Encrypts secret values; only holders of the master key open them."""

    def seal(self, tenant: str, plain: bytes) -> str:
        """Return base64 text that names its key; bound to the tenant's id."""
        ...

    def open(self, tenant: str, sealed: str) -> bytes:
        """Return the plain value. Raises ValueError if it is not this tenant's or was changed."""
        ...


class Passwords(Protocol):
    """Hashes what people remember: slow on purpose, and only a few at once."""

    def hash(self, password: str) -> str:
        """Return text that holds its own parameters and salt."""
        ...

    def verify(self, stored: str, password: str) -> bool:
        """Say whether it is the password. Raises Unavailable when too many wait."""
        ...


class BreachedPasswords(Protocol):
    """Passwords that leaked somewhere and are tried first by whoever guesses."""

    def holds(self, password: str) -> bool:
        """Say whether the password is known to have leaked."""
        ...


class Signer(Protocol):
    """Signs audit checkpoints with a key that the database does not hold."""

    def sign(self, message: bytes) -> str:
        """Return the signature as base64 text."""
        ...

    def verify(self, message: bytes, signature: str) -> bool:
        """Say whether this key made the signature."""
        ...

    def public_key(self) -> str:
        """Return what others verify with, as base64 text."""
        ...


class Anchor(Protocol):
    """Lines kept outside the database, only ever appended to."""

    def append(self, line: str) -> None:
        """Keep one line durably."""
        ...

    def lines(self) -> tuple[str, ...]:
        """Return every line in order."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """A frozen draft: everything is stored, nothing runs yet."""

    # canonical JSON
    manifest: str
    # its SHA-256
    digest: str
    declaration: Declaration
    # layer role ("function", "deps") -> digest
    layers: Mapping[str, str]
    image: str
    # the SBOM's digest
    sbom: str
    # (phase, milliseconds)
    phases: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Tried:
    """A draft that can run on this machine, by the digest that its version will have."""

    digest: str
    declaration: Declaration
    # layer role ("function", "deps") -> digest
    layers: Mapping[str, str]


class Builder(Protocol):
    """Locks and freezes drafts; the same draft gives the same digest anywhere."""

    def declaration(self, files: Mapping[str, bytes]) -> Declaration:
        """Read what the author declares. Raises Invalid, naming the file and key at fault."""
        ...

    def lock(self, files: Mapping[str, bytes], previous: str) -> str:
        """Resolve the dependencies; a previous lock that still fits is returned unchanged.

        Raises Invalid with the resolver's own failing line.
        """
        ...

    def packages(self, lock: str) -> Mapping[str, str]:
        """Return name -> version of what a lock pins; nothing for an empty one."""
        ...

    def build(self, files: Mapping[str, bytes], lock: str) -> Built:
        """Make manifest, layers, image and SBOM; repeating it costs little."""
        ...

    def try_out(self, files: Mapping[str, bytes], lock: str) -> Tried | None:
        """Make what running the draft needs, fast; None when its lock does not fit its files."""
        ...

    def adopt(self, lock: str, digest: str, layer: bytes) -> None:
        """Take the dependencies' layer of a lock, made on a machine like this one, instead of making it.

        Raises Invalid when these bytes have another digest. Whoever made it is trusted.
        """
        ...

    def base(self, runtime: str) -> str:
        """Return this machine's interpreter build for a runtime. Raises Invalid when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class VersionImage:
    """What the image of a version is made of, and whose it is."""

    organization: str
    # canonical JSON, as in Built
    manifest: str
    # layer role -> digest, as in Built
    layers: Mapping[str, str]
    # CycloneDX of the version alone
    sbom: bytes


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that can be deployed."""

    # By which it is deployed; ends in `@` and its digest.
    reference: str
    digest: str
    # Digest of the version that it holds, and of the base image that it stands on.
    version: str
    base: str


class Images(Protocol):
    """Images of versions, whole and signed, in a registry or in folders that travel."""

    def base(self, runtime: str) -> str:
        """Return the digest of the base image for new releases. Raises Invalid when there is none."""
        ...

    def keep(self, image: str) -> None:
        """Make the layers of a built version (`Built.image`) safe where every process finds them."""
        ...

    def publish(self, image: VersionImage, base: str) -> StoredImage:
        """Compose, store, describe and sign the image of a version; repeating it costs little and heals."""
        ...

    def find(self, organization: str, version: str, base: str) -> StoredImage | None:
        """Return the image of a version's digest on a base, if it is there whole and signed; quick."""
        ...

    def stored(self, organization: str) -> tuple[StoredImage, ...]:
        """Return every image of an organization."""
        ...

    def remove(self, organization: str, digests: Collection[str]) -> int:
        """Remove images with all that belongs to them alone; returns how many went.

        Raises Unavailable where nothing can be removed.
        """
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
    # Under this id it can be watched and cancelled while it runs.
    run: str = ""


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

    def prepare(self, target: str, timeout_ms: int, digest: str = "") -> Prepared:
        """Load a target's code once and say whether it serves.

        With a digest, wait first until the target is wanted with this code.
        """
        ...

    def test(self, target: HostTarget, call: TestCall) -> TestOutcome:
        """Run one request in a one-shot instance of the same sandbox."""
        ...

    def test_logs(self, run: str) -> tuple[Mapping[str, Any], ...]:
        """Return all that a test run has written until now; nothing when it does not run."""
        ...

    def cancel_test(self, run: str) -> bool:
        """End a test run; its caller gets the code `cancelled`. Says whether it ran."""
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


class Broker(Protocol):
    """Brings events to the platform's consumers: within the worker here, a Knative Broker in a cluster.

    At least once and in no order. What a broker loses is published again.
    """

    def subscribe(self, consumers: Mapping[str, Collection[str]]) -> None:
        """Let each consumer (name -> types) get the events of its types, and nobody else; repeatable.

        Raises Unavailable when it cannot be said now.
        """
        ...

    def publish(self, event: Event) -> None:
        """Hand one event over, to all consumers that want it. Raises Unavailable when it was not taken."""
        ...


class Gateway(Protocol):
    """Lets calls in: HAProxy in both worlds."""

    def apply(self, state: GatewayState) -> GatewayChange:
        """Make the state live, files first, then the running workers; returns when it is live."""
        ...

    def cut(self, target_or_key: str) -> int:
        """End the open sessions of a key or target in every worker; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class LogPage:
    """Records as docs/contracts.md describes them, and the position behind the last one."""

    records: tuple[Mapping[str, Any], ...]
    position: str = ""


class Telemetry(Protocol):
    """What runs of functions at this moment: the host's own numbers here, Prometheus in a cluster."""

    def read(self) -> Running:
        """Return the instances that run. Raises Unavailable when nobody knows."""
        ...


class FunctionLogs(Protocol):
    """What functions wrote: day files here, a log store in a cluster."""

    def read(
        self, function: str, *, after: str = "", request: str = "", limit: int = 100, around_ms: int = 0
    ) -> LogPage:
        """Return the newest records, or those behind a position, oldest first; of one request if named.

        With `around_ms`, Unix milliseconds, begin shortly before that time instead.
        """
        ...
