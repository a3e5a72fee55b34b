"""In-memory ports, kept as carefully as the adapters: the contract suites run against them too."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import IO, Any

from control_plane.domain.canonical import canonical_json
from control_plane.domain.desired import GatewayState, HostState, HostTarget, Limits
from control_plane.domain.functions import Declaration, check_declaration
from control_plane.errors import Invalid
from control_plane.ports import Built, GatewayChange, Prepared, ReceivedBytes, TestCall, TestOutcome, Tried

__all__ = [
    "FakeAnchor",
    "FakeBlobs",
    "FakeBreached",
    "FakeBuilder",
    "FakeFileBytes",
    "FakeGateway",
    "FakePasswords",
    "FakeRuntime",
    "FakeSealer",
    "FakeSigner",
    "InlineExecutor",
]


class FakeBlobs:
    """Blobs in a dict."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.contents[digest] = content
        return digest

    def get(self, digest: str) -> bytes:
        content = self.contents.get(digest)
        if content is None or "sha256:" + hashlib.sha256(content).hexdigest() != digest:
            raise FileNotFoundError(digest)
        return content

    def has(self, digest: str) -> bool:
        return digest in self.contents


class FakePart:
    """Bytes on their way into the dict."""

    def __init__(self, owner: FakeFileBytes, file: str, content: bytes) -> None:
        self._owner, self._file, self._content = owner, file, content
        self.digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.size = len(content)

    def keep(self) -> None:
        self._owner.keep(self._file, self._content)


class FakeFileBytes:
    """Bytes of files in a dict."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    @contextmanager
    def receive(self, file: str, chunks: Iterable[bytes]) -> Iterator[ReceivedBytes]:
        _check_file(file)
        yield FakePart(self, file, b"".join(chunks))

    def keep(self, file: str, content: bytes) -> None:
        """Put bytes that were received in their place."""
        self.contents[file] = content

    def open(self, file: str) -> IO[bytes]:
        _check_file(file)
        if file not in self.contents:
            raise FileNotFoundError(file)
        return io.BytesIO(self.contents[file])

    def delete(self, file: str) -> None:
        _check_file(file)
        self.contents.pop(file, None)


def _check_file(file: str) -> None:
    if not re.fullmatch(r"file_[0-9a-z]{1,64}", file):
        raise FileNotFoundError(file)


class FakeSealer:
    """Readable to the test, bound to its tenant all the same."""

    def seal(self, tenant: str, plain: bytes) -> str:
        body = tenant.encode() + b"\0" + plain
        return base64.b64encode(hashlib.sha256(body).digest() + body).decode()

    def open(self, tenant: str, sealed: str) -> bytes:
        content = base64.b64decode(sealed, validate=True)
        owner, _, plain = content[32:].partition(b"\0")
        if hashlib.sha256(content[32:]).digest() != content[:32] or owner.decode() != tenant:
            raise ValueError("not this tenant's")
        return plain


class FakePasswords:
    """As good as plain, and fast."""

    def hash(self, password: str) -> str:
        return f"plain:{password}"

    def verify(self, stored: str, password: str) -> bool:
        return stored == f"plain:{password}"


class FakeBreached:
    """Leaked passwords in a set."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def holds(self, password: str) -> bool:
        return password in self.known


class FakeSigner:
    """A keyed hash."""

    def __init__(self, key: str = "key") -> None:
        self._key = key

    def sign(self, message: bytes) -> str:
        return hashlib.sha256(self._key.encode() + message).hexdigest()

    def public_key(self) -> str:
        return "public key"

    def verify(self, message: bytes, signature: str) -> bool:
        return signature == self.sign(message)


class FakeAnchor:
    """Lines in a list."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def append(self, line: str) -> None:
        self.kept.append(line)

    def lines(self) -> tuple[str, ...]:
        return tuple(self.kept)


class FakeBuilder:
    """Reads `ingot.json` as the declaration and `requirements.txt` as pins."""

    def __init__(self) -> None:
        # Called between reading and answering: where a test edits the draft meanwhile.
        self.meanwhile: Callable[[], None] = lambda: None
        self.locks = 0
        # (lock, digest) of layers that came from elsewhere.
        self.adopted: list[tuple[str, str]] = []

    def declaration(self, files: Mapping[str, bytes]) -> Declaration:
        given = json.loads(files.get("ingot.json", b"{}"))
        limits = Limits(**given.pop("limits", {}))
        # No declaration names it yet; it stands in the manifest.
        given.pop("egress", None)
        lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        return check_declaration(Declaration(runtime="python3.11", limits=limits, **(given | lists)))

    def lock(self, files: Mapping[str, bytes], previous: str) -> str:
        self.meanwhile()
        pins = sorted(files.get("requirements.txt", b"").decode().split())
        if "impossible==1" in pins:
            raise Invalid("No version of impossible fits.", field="requirements.txt:1")
        lock = json.dumps(dict(pin.split("==") for pin in pins))
        self.locks += lock != previous
        return lock

    def packages(self, lock: str) -> Mapping[str, str]:
        packages: dict[str, str] = json.loads(lock or "{}")
        return packages

    def build(self, files: Mapping[str, bytes], lock: str) -> Built:
        self.meanwhile()
        tree = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
        egress = json.loads(files.get("ingot.json", b"{}")).get("egress", [])
        manifest = canonical_json({"tree": tree, "lock": lock, "egress": egress})
        layers = {"function": "sha256:" + hashlib.sha256(canonical_json(tree)).hexdigest()}
        if json.loads(lock):
            layers["deps"] = "sha256:" + hashlib.sha256(lock.encode()).hexdigest()
        return Built(
            manifest=manifest.decode(),
            digest="sha256:" + hashlib.sha256(manifest).hexdigest(),
            declaration=self.declaration(files),
            layers=layers,
            image="sha256:" + "1" * 64,
            sbom="sha256:" + "2" * 64,
        )

    def try_out(self, files: Mapping[str, bytes], lock: str) -> Tried | None:
        pins = sorted(files.get("requirements.txt", b"").decode().split())
        if not lock or json.loads(lock) != dict(pin.split("==") for pin in pins):
            return None
        built = self.build(files, lock)
        return Tried(built.digest, built.declaration, built.layers)

    def adopt(self, lock: str, digest: str, layer: bytes) -> None:
        if "sha256:" + hashlib.sha256(layer).hexdigest() != digest:
            raise Invalid(f"The bytes are not those of the layer {digest}.")
        self.adopted.append((lock, digest))

    def base(self, runtime: str) -> str:
        if runtime != "python3.11":
            raise Invalid(f"This machine has no interpreter for {runtime}.")
        return "cpython-3.11.2"


class FakeRuntime:
    """Serves whatever was applied, unless a test breaks it."""

    def __init__(self) -> None:
        self.states: list[HostState] = []
        self.prepared: list[str] = []
        self.tests: list[tuple[HostTarget, TestCall]] = []
        # target -> what preparing it says
        self.broken: dict[str, Prepared] = {}
        self.every: Prepared = Prepared(ok=True, ms=5.0)
        self.fault: Exception | None = None
        self.outcome = TestOutcome(status=200, body=b"{}", duration_ms=1.5)
        # Called with the run's id while a test run is under way.
        self.during: Callable[[str], None] = lambda run: None
        self.logs: dict[str, tuple[Mapping[str, Any], ...]] = {}
        self.cancelled: list[str] = []

    def apply(self, state: HostState) -> None:
        if self.fault:
            raise self.fault
        self.states.append(state)

    def prepare(self, target: str, timeout_ms: int, digest: str = "") -> Prepared:
        if self.fault:
            raise self.fault
        wanted = {one.id: one.digest for one in self.states[-1].targets} if self.states else {}
        if digest and wanted.get(target) != digest:
            return Prepared(ok=False, code="start_timeout", message="It was not wanted in time.")
        assert target in {one.id for one in self.states[-1].targets}, "prepared before it was wanted"
        self.prepared.append(target)
        return self.broken.get(target, self.every)

    def test(self, target: HostTarget, call: TestCall) -> TestOutcome:
        if self.fault:
            raise self.fault
        self.tests.append((target, call))
        self.during(call.run)
        return self.outcome

    def test_logs(self, run: str) -> tuple[Mapping[str, Any], ...]:
        return self.logs.get(run, ())

    def cancel_test(self, run: str) -> bool:
        self.cancelled.append(run)
        return run in self.logs

    def status(self) -> Mapping[str, Any]:
        return {}

    def socket_path(self, target: str) -> str:
        return f"/run/fn/{target}.sock"


class FakeGateway:
    """Remembers what went live; refuses servers that nothing listens for."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime
        self.states: list[GatewayState] = []
        self.cuts: list[str] = []
        self.lingering: tuple[str, ...] = ()
        self.fault: Exception | None = None

    def apply(self, state: GatewayState) -> GatewayChange:
        if self.fault:
            raise self.fault
        listening = {target.id for target in self._runtime.states[-1].targets}
        assert {target.id for target in state.targets} <= listening, "a call would find nobody"
        self.states.append(state)
        return GatewayChange(commands=1, lingering=self.lingering)

    def cut(self, target_or_key: str) -> int:
        self.cuts.append(target_or_key)
        return 1


class InlineExecutor(Executor):
    """Runs what is submitted at once; `held` keeps it back until `release`."""

    def __init__(self) -> None:
        self.held = False
        self._waiting: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, fn, args))
        if not self.held:
            self.release()
        return future

    def release(self) -> None:
        while self._waiting:
            future, fn, args = self._waiting.pop(0)
            try:
                future.set_result(fn(*args))
            except Exception as error:
                future.set_exception(error)
