"""Runs one instance of the Python runtime in a forked child, and calls it with raw bytes."""

from __future__ import annotations

import importlib.util
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import textwrap
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ingot_shim import logpipe
from ingot_shim.exchange import Patience
from ingot_shim.load import LoadFailed, load
from ingot_shim.serve import failed, serve

_found = importlib.util.find_spec("jsonschema_rs")
assert _found is not None
assert _found.origin is not None
VALIDATOR = str(Path(_found.origin).parent.parent)
WAIT = 15.0


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def parse(raw: bytes) -> Response:
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {}
    for field in fields:
        name, _, value = field.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = dechunk(body)
    return Response(int(line.split(" ")[1]), headers, body, raw)


def dechunk(data: bytes) -> bytes:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            assert data == b"\r\n"
            return body
        body += data[:length]
        assert data[length : length + 2] == b"\r\n"
        data = data[length + 2 :]


def request(method: str = "POST", path: str = "/acme/orders", body: bytes = b"", **headers: str) -> bytes:
    fields = {"host": "localhost", "x_request_id": "req-1", **headers}
    if body:
        fields.setdefault("content_length", str(len(body)))
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def post_json(value: Any, path: str = "/acme/orders", **headers: str) -> bytes:
    return request("POST", path, json.dumps(value).encode(), content_type="application/json", **headers)


class Instance:
    """A running instance; use as a context manager."""

    def __init__(
        self,
        folder: Path,
        source: str | Mapping[str, str],
        *,
        patience: Patience | None = None,
        late_secrets: bool = False,
        **spec: Any,
    ) -> None:
        self.folder = folder
        self._patience = patience
        self._late_secrets = late_secrets
        files = {"main.py": source} if isinstance(source, str) else source
        for name, text in files.items():
            path = folder / "function" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        (folder / "deps").mkdir(exist_ok=True)
        self.spec: dict[str, Any] = {
            "function": "f1",
            "function_name": "orders",
            "version": "v1",
            "kind": "handler",
            "handler": "main:execute",
            "paths": {"function": str(folder / "function"), "deps": str(folder / "deps")},
            "validator": VALIDATOR,
            **spec,
        }
        self.slots_fd = os.memfd_create("slots")
        os.ftruncate(self.slots_fd, 64 * 17)
        self.log_reader, self._log_writer = os.pipe()
        self.status, self._their_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.status.settimeout(WAIT)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.address = str(folder / "s")
        self.listener.bind(self.address)
        self.listener.listen(128)
        self.pid = 0
        self.exit: int | None = None
        self._log = b""

    def __enter__(self) -> Instance:
        self.pid = os.fork()
        if self.pid == 0:
            self._child()
        self._their_status.close()
        os.close(self._log_writer)
        try:
            self.event = json.loads(self.status.recv(65_536))
        except (OSError, ValueError):
            self.__exit__(None, None, None)
            raise
        return self

    def _child(self) -> None:
        code = 1
        try:
            self.status.close()
            os.close(self.log_reader)
            signal.alarm(0)
            # Other tests of this process may have imported it; a template never has.
            for name in [name for name in sys.modules if name.startswith("jsonschema_rs")]:
                del sys.modules[name]
            logpipe.install(self._log_writer)
            try:
                loaded = load({**self.spec, "secrets": {}} if self._late_secrets else self.spec)
                if self._late_secrets:
                    loaded.bind(self.spec)
            except LoadFailed as error:
                failed(self._their_status, error.code, error.message)
                os._exit(3)
            listener = socket.socket(fileno=self.listener.fileno())
            started = serve(
                loaded, listener, self.slots_fd, self._log_writer, self._their_status, patience=self._patience
            )
            code = 0 if started else 3
        except BaseException:
            Path(self.folder, "crash").write_text(traceback.format_exc())
        finally:
            os._exit(code)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.exit is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.status.close()
        self.listener.close()
        os.close(self.log_reader)
        os.close(self.slots_fd)
        crash = self.folder / "crash"
        assert not crash.exists(), crash.read_text()

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(WAIT)
        connection.connect(self.address)
        return connection

    def raw(self, data: bytes) -> bytes:
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)

    def call(self, data: bytes) -> Response:
        return parse(self.raw(data))

    def post(self, value: Any, **options: str) -> Response:
        return self.call(post_json(value, **options))

    def quit(self) -> None:
        self.status.send(b"q")
        self.wait()

    def wait(self) -> int:
        """Wait for the child's own exit."""
        pidfd = os.pidfd_open(self.pid)
        try:
            assert select.select([pidfd], [], [], WAIT)[0], "the instance did not leave"
        finally:
            os.close(pidfd)
        self.exit = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.exit

    def log(self) -> list[dict[str, Any]]:
        """Return the records so far; raw lines as {"raw": text}."""
        os.set_blocking(self.log_reader, False)
        while True:
            try:
                data = os.read(self.log_reader, 65_536)
            except BlockingIOError:
                break
            if not data:
                break
            self._log += data
        return [_record(line) for line in self._log.split(b"\n")[:-1]]

    def slots(self) -> dict[str, Any]:
        """Return the slot table as the host reads it."""
        with mmap.mmap(self.slots_fd, 0, prot=mmap.PROT_READ) as table:
            magic, count, served, active, flags = struct.unpack_from("<IIQQI", table, 0)
            busy = [struct.unpack_from("<IIQQ", table, 64 * number) for number in range(1, count + 1)]
        return {
            "magic": magic,
            "count": count,
            "served": served,
            "active": active,
            "flags": flags,
            "slots": busy,
        }


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {"raw": line.decode(errors="replace")}
    return record if isinstance(record, dict) else {"raw": line.decode()}


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while data := connection.recv(65_536):
        parts.append(data)
    return b"".join(parts)


def until(condition: Any, what: str) -> Any:
    """Poll for something that another process does."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"waited in vain for {what}")
