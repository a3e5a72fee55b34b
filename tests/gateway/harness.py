"""A real HAProxy in a temporary folder with toy functions behind it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from control_plane.adapters.gateway.access_log import AccessRecord, EndRecord, parse_line
from control_plane.adapters.gateway.gateway import HAProxyGateway
from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.adapters.gateway.start import command, write_first_files
from control_plane.domain.desired import (
    CallerKey,
    Cors,
    FunctionPolicy,
    GatewayState,
    Route,
    Share,
    Target,
)

SECRET = "ik_0123456789abcdef"


class HandClock:
    """A clock that tests move by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.now


def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll until it holds, or fail."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("it did not become so in time")
        time.sleep(0.01)


def caller_key(secret: str = SECRET, **changes: object) -> CallerKey:
    """Return a key of acme's that may call everything of acme's."""
    values: dict[str, object] = {
        "sha256": hashlib.sha256(secret.encode()).hexdigest(),
        "key": "key_" + hashlib.sha256(secret.encode()).hexdigest()[:8],
        "organization": "org_acme",
        "scopes": (),
    }
    return CallerKey(**(values | changes))  # type: ignore[arg-type]


def policy(function: str = "fn_orders", **changes: object) -> FunctionPolicy:
    """Return a function's policy in acme's shop."""
    values: dict[str, object] = {
        "function": function,
        "project": "prj_shop",
        "organization": "org_acme",
        "cors": Cors(),
    }
    return FunctionPolicy(**(values | changes))  # type: ignore[arg-type]


@dataclass
class Request:
    """What a toy function received."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[0] if found else None


Answer = Callable[["Request", socket.socket], None]


def say(body: bytes = b"ok", headers: str = "", status: str = "200 OK") -> Answer:
    """Return an answerer with a fixed answer."""

    def answer(_: Request, connection: socket.socket) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n"
        connection.sendall(head.encode("latin-1") + body)

    return answer


def read_request(connection: socket.socket) -> Request | None:
    """Read one request with a Content-Length, chunks or no body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in rest)]
    request = Request(first, headers, body)
    length = int(request.header("content-length") or 0)
    while len(body) < length:
        piece = connection.recv(65_536)
        if not piece:
            return None
        body += piece
    request.body = body
    return request


class ToyFunction:
    """A Unix socket that answers one request for each connection."""

    def __init__(
        self, path: str, answer: Answer | None = None, workers: int = 8, backlog: int = 1024
    ) -> None:
        self.path = path
        self.answer = answer or say()
        self.requests: list[Request] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(backlog)
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(30)
                with contextlib.suppress(OSError):
                    request = read_request(connection)
                    if request is not None:
                        self.requests.append(request)
                        self.answer(request, connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        Path(self.path).unlink(missing_ok=True)


@dataclass
class Reply:
    """An answer as the caller saw it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[0] if found else None

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


def read_reply(connection: socket.socket) -> Reply:
    """Read one answer; its body ends by Content-Length or by the connection's end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            raise ConnectionError(f"no answer, only {data!r}")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in rest)]
    reply = Reply(int(first.split()[1]), headers, body)
    length = reply.header("content-length")
    while length is not None and len(body) < int(length):
        piece = connection.recv(65_536)
        if not piece:
            break
        body += piece
    reply.body = body
    return reply


@dataclass
class World:
    """One gateway, its listeners, its log and its toy functions."""

    folder: Path
    settings: GatewaySettings
    clock: HandClock
    gateway: HAProxyGateway
    console: socket.socket
    functions: socket.socket
    log: Path
    process: subprocess.Popen[bytes] | None = None
    toys: dict[str, ToyFunction] = field(default_factory=dict)

    def start(self, user: int | None = None) -> None:
        """Start HAProxy as the supervisor does and wait until it serves."""
        with self.log.open("ab") as log, (self.folder / "haproxy.out").open("ab") as out:
            numbers = (self.console.fileno(), self.functions.fileno(), log.fileno())
            names = ("INGOT_FD_CONSOLE", "INGOT_FD_FUNCTIONS", "INGOT_FD_ACCESS_LOG")
            self.process = subprocess.Popen(
                command(self.settings),
                pass_fds=numbers,
                env={name: str(number) for name, number in zip(names, numbers, strict=True)},
                stdout=out,
                stderr=out,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        until(lambda: self.gateway._process() is not None)
        self.gateway.renew_lease(int(time.time()) + 100_000)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def toy(self, target: str, answer: Answer | None = None, **options: int) -> ToyFunction:
        """Listen for a target."""
        self.toys[target] = ToyFunction(self.settings.socket(f"{target}.sock"), answer, **options)
        return self.toys[target]

    def target(self, target: str, **changes: object) -> Target:
        values: dict[str, object] = {
            "id": target,
            "socket": self.settings.socket(f"{target}.sock"),
            "organization": "org_acme",
            "project": "prj_shop",
            "function": "fn_orders",
            "version": f"ver_{target}",
            "maxconn": 4,
            "timeout_ms": 5_000,
            "memory_mb": 256,
        }
        return Target(**(values | changes))  # type: ignore[arg-type]

    def state(
        self,
        *targets: Target,
        routes: tuple[Route, ...] | None = None,
        policies: tuple[FunctionPolicy, ...] | None = None,
        keys: tuple[CallerKey, ...] | None = None,
    ) -> GatewayState:
        """Return a state in which acme/orders leads to the first target."""
        first = targets[0].id if targets else ""
        plain = (Route("acme/orders", "fn_orders", (Share(first, 100),)),) if targets else ()
        return GatewayState(
            epoch=1,
            targets=targets,
            routes=plain if routes is None else routes,
            policies=(policy(),) if policies is None else policies,
            keys=(caller_key(),) if keys is None else keys,
        )

    @property
    def port(self) -> int:
        return int(self.functions.getsockname()[1])

    def connect(self, timeout: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def send(self, raw: bytes) -> Reply:
        """Send raw bytes on a new connection and read one answer."""
        with self.connect() as connection:
            connection.sendall(raw)
            return read_reply(connection)

    def call(
        self,
        path: str = "/acme/orders",
        method: str = "POST",
        headers: dict[str, str] | None = None,
        body: bytes = b"{}",
        key: str | None = SECRET,
    ) -> Reply:
        """Make one call."""
        lines = {"Host": "functions.example", "Content-Length": str(len(body)), **(headers or {})}
        if key is not None:
            lines["X-Api-Key"] = key
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)

    def records(self) -> list[AccessRecord | EndRecord]:
        """Return every line of the access log; a malformed one raises."""
        return [parse_line(line) for line in self.log.read_bytes().splitlines()]

    def record_of(self, reply: Reply) -> AccessRecord:
        """Return a call's access record."""
        usage = reply.header("x-ingot-usage-id")
        found: list[AccessRecord] = []

        def seen() -> bool:
            found[:] = [
                each for each in self.records() if isinstance(each, AccessRecord) and each.id == usage
            ]
            return bool(found)

        until(seen, 5)
        assert len(found) == 1
        return found[0]


def websocket(request: Request, connection: socket.socket) -> None:
    """Accept a WebSocket and echo."""
    nonce = (request.header("sec-websocket-key") or "").encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(nonce).digest()).decode()
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sendall(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    while data := connection.recv(4096):
        connection.sendall(data)


def open_websocket(world: World, path: str, protocols: str, key: str | None = None) -> socket.socket:
    """Send a WebSocket's handshake."""
    connection = world.connect()
    own = f"X-Api-Key: {key}\r\n" if key else ""
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{own}"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n"
        f"Sec-WebSocket-Protocol: {protocols}\r\n\r\n".encode()
    )
    return connection


def read_reply_head(connection: socket.socket) -> Reply:
    """Read a handshake's answer without waiting for a body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1)
    first, *rest = data.decode("latin-1").rstrip().split("\r\n")
    pairs = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in rest)]
    return Reply(int(first.split()[1]), pairs, b"")


def listener() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(("127.0.0.1", 0))
    opened.listen(4096)
    return opened


@contextlib.contextmanager
def a_world(folder: Path, **options: object) -> Iterator[World]:
    """Make a world whose HAProxy is not started yet; ends everything afterwards."""
    run, data = folder / "r", folder / "gateway"
    run.mkdir(mode=0o700)
    settings = GatewaySettings(run_folder=run, data_folder=data, **options)  # type: ignore[arg-type]
    clock = HandClock()
    write_first_files(settings)
    gateway = HAProxyGateway(settings, clock)
    with listener() as console, listener() as functions:
        world = World(folder, settings, clock, gateway, console, functions, data / "access.log")
        world.log.touch()
        try:
            yield world
        finally:
            world.stop(signal.SIGTERM)
            for toy in world.toys.values():
                toy.close()
