"""A real HAProxy under the real launcher, with small backends behind it on loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from control_plane.errors import Unavailable
from operators.ingress.desired import Before, Translator
from operators.ingress.kingress import KIngress
from operators.ingress.launch import listen
from operators.ingress.model import Desired, Verdict
from operators.ingress.objects import Service, Subset, TlsSecret, Watched
from operators.ingress.proxy import Applied, IngressProxy
from operators.ingress.settings import IngressSettings
from tests.ingress.objects import CLASS, by_key, service


def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll until it holds, or fail."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("it did not become so in time")
        time.sleep(0.01)


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One segment for head and body: two would wait for each other.
    wbufsize = -1
    name = ""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(
            {"backend": self.name, "path": self.path, "headers": dict(self.headers.items())}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Backend", self.name)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the base class calls it by this name

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1_024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of callers who hang up."""


class Backend:
    """An HTTP/1.1 server that says who it is and what it got."""

    def __init__(self, name: str) -> None:
        handler = type("Echo", (_Echo,), {"name": name})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class RawBackend:
    """A TCP server that hands each connection to a function."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._listener = listen("127.0.0.1:0")
        self.port = int(self._listener.getsockname()[1])
        self._serve = serve
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(20)
            self._serve(connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@dataclass
class Reply:
    """An answer as the caller saw it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        """What the echoing backend got."""
        return dict(json.loads(self.body))

    @property
    def backend(self) -> str:
        return self.headers.get("backend", "")

    def got(self, name: str) -> str | None:
        """Return a header as the backend got it."""
        return {key.lower(): value for key, value in self.said["headers"].items()}.get(name.lower())


@dataclass
class World:
    """One launcher, its HAProxy, and the objects that the proxy is given."""

    settings: IngressSettings
    ports: Mapping[str, int]
    proxy: IngressProxy
    now: list[float]
    output: Path
    translator: Translator = field(default_factory=lambda: Translator(CLASS))
    launcher: subprocess.Popen[bytes] | None = None
    ingresses: dict[str, KIngress] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    endpoints: dict[str, tuple[Subset, ...]] = field(default_factory=dict)
    secrets: dict[str, TlsSecret] = field(default_factory=dict)
    backends: dict[str, Backend] = field(default_factory=dict)
    desired: Desired = field(default_factory=Desired)

    def start(self) -> None:
        """Start the launcher, and HAProxy with what the proxy has written."""
        arguments = [f"--{name}=127.0.0.1:{port}" for name, port in self.ports.items()]
        with self.output.open("ab") as output:
            self.launcher = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "operators.ingress.launch",
                    f"--data={self.settings.data_folder}",
                    f"--run={self.settings.run_folder}",
                    *arguments,
                ],
                stdout=output,
                stderr=output,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the launcher; returns its code."""
        assert self.launcher is not None
        self.launcher.send_signal(number)
        code = self.launcher.wait(40)
        self.launcher = None
        return code

    def echo(self, name: str) -> Backend:
        """Start a backend with a Service and an address."""
        backend = self.backends[name] = Backend(name)
        self.serve(name, backend.port)
        return backend

    def serve(self, name: str, *ports: int, kind: str = "http") -> None:
        """Give a Service addresses on loopback."""
        self.services[f"fn/{name}"] = service(kind)
        self.endpoints[f"fn/{name}"] = tuple(Subset(("127.0.0.1",), {kind: port}) for port in ports)

    def apply(self, *ingresses: KIngress) -> Applied:
        """Make these Ingresses live; none keeps those that are."""
        if ingresses:
            self.ingresses = dict(by_key(*ingresses))
        self.desired = self.translator.desired(
            Watched(self.ingresses, dict(self.services), dict(self.endpoints), dict(self.secrets)),
            Before(
                positions=self.desired.positions,
                lingering=self.proxy.lingering(),
                refused_certificates=self.proxy.refused,
            ),
        )
        return self.proxy.apply(self.desired)

    def verdict(self, key: str = "fn/hello") -> Verdict:
        return next(verdict for verdict in self.desired.verdicts if verdict.key == key)

    @property
    def public(self) -> tuple[str, int]:
        """Where callers from outside come in."""
        return "127.0.0.1", self.ports["public"]

    def connect(self, table: str = "public") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[table]), 20)

    def call(
        self,
        path: str = "/",
        host: str = "hello.example.com",
        headers: Mapping[str, str] | None = None,
        table: str = "public",
        method: str = "GET",
    ) -> Reply:
        """Make one call on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[table], timeout=20)
        return ask(connection, path, {"Host": host, **(headers or {})}, method)

    def call_tls(self, server_name: str, path: str = "/") -> tuple[Reply, bytes]:
        """Make one call with TLS; returns the certificate that was shown too."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(self.connect("public-tls"), server_hostname=server_name) as secured:
            shown = secured.getpeercert(binary_form=True) or b""
            connection = http.client.HTTPConnection("unused")
            connection.sock = secured
            return ask(connection, path, {"Host": server_name}), shown


def ask(
    connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str], method: str = "GET"
) -> Reply:
    """Make one call on a connection and close it."""
    with contextlib.closing(connection):
        connection.request(method, path, headers=dict(headers))
        answer = connection.getresponse()
        body = answer.read()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


class Load:
    """Callers that never stop and never retry; half of them keep their connection."""

    def __init__(self, address: tuple[str, int], callers: int = 4, host: str = "hello.example.com") -> None:
        self._address = address
        self._host = host
        self.answers: Counter[str] = Counter()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number % 2 == 0,), daemon=True)
            for number in range(callers)
        ]

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self._address, timeout=20)

    def _run(self, keep: bool) -> None:
        connection = self._connection()
        while not self._ended.is_set():
            try:
                connection.request("GET", "/", headers={"Host": self._host})
                answer = connection.getresponse()
                answer.read()
                self.answers[f"{answer.status} {answer.headers.get('Backend', '')}".strip()] += 1
                closing = answer.will_close
            except (OSError, http.client.HTTPException) as error:
                self.answers[repr(error)] += 1
                closing = True
            if closing or not keep:
                connection.close()
                connection = self._connection()
        connection.close()

    def failures(self) -> dict[str, int]:
        """Return all that was not a 200."""
        return {said: count for said, count in self.answers.items() if said.split(" ")[0] != "200"}

    def progress(self, calls: int = 50) -> None:
        """Wait until so many more calls were answered."""
        seen = self.answers.total()
        until(lambda: self.answers.total() > seen + calls, 30)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(20)


def _free_port() -> int:
    with listen("127.0.0.1:0") as opened:
        return int(opened.getsockname()[1])


@contextlib.contextmanager
def a_world(folder: Path, **options: Any) -> Iterator[World]:
    """Make a world whose HAProxy is not started yet; ends everything afterwards."""
    settings = IngressSettings(run_folder=folder / "r", data_folder=folder / "d", **options)
    now = [1_000.0]
    ports = {name: _free_port() for name in ("public", "public-tls", "private")}
    world = World(settings, ports, IngressProxy(settings, lambda: now[0]), now, folder / "out")
    try:
        yield world
    finally:
        if world.launcher is not None:
            world.stop(signal.SIGTERM)
        for backend in world.backends.values():
            backend.close()


def started(world: World) -> World:
    """Start HAProxy with an empty state and wait until it serves."""
    world.start()

    def serves() -> bool:
        # As the controller does: again until a process runs and its master listens too.
        with contextlib.suppress(Unavailable):
            return world.apply().live
        return False

    until(serves)
    return world


def worker_of(world: World) -> int:
    """Return the process id of the serving worker."""
    return int(world.proxy._admin.process())


def parent_of(process: int) -> int:
    """Return the process id of a process's parent."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])


def alive(process: int) -> bool:
    """Say whether a process runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
