"""A real function host in a temporary folder, with toy layers, for tests that use real sockets."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema_rs

from control_plane.domain.desired import HostTarget, Limits

__all__ = ["HELLO", "FunctionHost", "call", "until"]

ROOT = Path(__file__).resolve().parents[2]
HELLO = "def execute(input, context):\n    return {'hello': (input or {}).get('name', 'nobody')}\n"


def until(condition: Callable[[], Any], timeout_s: float = 10.0, what: str = "") -> Any:
    """Poll until the condition is true and return its value; fail after the time-out."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {timeout_s} s: {what or condition}")


def call(path: str | Path, document: Any = None, timeout_s: float = 20.0) -> tuple[int, Any]:
    """POST a JSON document to a Unix socket on a connection of its own; return (status, document)."""
    body = json.dumps(document).encode()
    head = (
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Request-Id: req-1\r\n"
        f"X-Ingot-Usage-Id: u1\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        connection.sendall(head.encode() + body)
        content = bytearray()
        while piece := connection.recv(1 << 16):
            content += piece
    if not content:
        raise ConnectionResetError("the connection ended without an answer")
    answer, _, text = bytes(content).partition(b"\r\n\r\n")
    return int(answer.split()[1]), json.loads(text) if text else None


class FunctionHost:
    """One host process; `with` it, or call `stop`, so that nothing is left behind."""

    def __init__(
        self,
        *,
        supervised: bool = False,
        isolation: str = "namespaces",
        user: int | None = None,
        **options: Any,
    ) -> None:
        """`user` runs the host as an ordinary user, which only root can ask for."""
        # The path must stay short enough for Unix sockets.
        self.folder = Path(tempfile.mkdtemp(prefix="ih"))
        self.folder.chmod(0o755)
        for name in ("host", "layers", "bytecode", "run/fn"):
            (self.folder / name).mkdir(parents=True)
        self.config: dict[str, Any] = {
            "folder": str(self.folder / "host"),
            "layers": str(self.folder / "layers"),
            "bytecode": str(self.folder / "bytecode"),
            "run": str(self.folder / "run"),
            "shim": str(ROOT / "templates/runtimes/python"),
            "sandbox": str(ROOT / "templates/sandbox"),
            "validator": str(Path(jsonschema_rs.__file__).parents[1]),
            "isolation": isolation,
            "uid_base": 63000 if os.geteuid() == 0 and user is None else None,
            "drain_s": 5.0,
            **options,
        }
        self.supervised = supervised
        self.user = user
        self.targets: dict[str, HostTarget] = {}
        self._epoch = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log = self.folder / "log"

    def __enter__(self) -> FunctionHost:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def target(self, source: str = HELLO, *, limits: Limits | None = None, **values: Any) -> HostTarget:
        """Make a layer and a target of it; `write` or `apply` makes it wanted."""
        mark = hashlib.sha256((source + str(len(self.targets))).encode()).hexdigest()
        layer = self.folder / "layers" / mark
        layer.mkdir()
        layer.chmod(0o755)
        (layer / "main.py").write_text(source)
        (layer / "main.py").chmod(0o644)
        fields: dict[str, Any] = {
            "id": f"t{mark[:16]}",
            "organization": "org_a",
            "project": "prj_a",
            "function": f"fn_{mark[:8]}",
            "function_name": "toy",
            "version": f"ver_{mark[:8]}",
            "number": 1,
            "digest": f"sha256:{mark}",
            "runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
            "kind": "handler",
            "handler": "main:execute",
            "layers": {"function": f"sha256:{mark}"},
            "limits": limits or Limits(memory_mb=128),
            "warm": False,
        }
        target = HostTarget(**fields | values)
        self.targets[target.id] = target
        return target

    def write(self) -> None:
        """Write the wanted state without telling the host."""
        self._epoch += 1
        document = {"format": 1, "epoch": self._epoch, "targets": [asdict(t) for t in self.targets.values()]}
        temporary = self.folder / "host" / ".desired"
        temporary.write_text(json.dumps(document))
        temporary.rename(self.folder / "host" / "desired.json")

    def apply(self) -> dict[str, Any]:
        """Write the wanted state and have the host make it so."""
        self.write()
        return self.ask({"op": "apply"})

    def start(self) -> None:
        """Start the host and wait until it takes orders."""
        self.write()
        path = self.folder / "config.json"
        path.write_text(json.dumps(self.config))
        command = [sys.executable, str(ROOT / "tests/support/host_process.py"), str(path)]
        if self.user is not None:
            for found in (self.folder, *self.folder.rglob("*")):
                os.chown(found, self.user, self.user)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command + (["--supervised"] if self.supervised else []),
                env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user is not None else None,
            )
        until(self._answers, 20, "the host answers")

    def stop(self) -> int:
        """Drain the host and remove the folder."""
        status = 0
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            status = self.process.wait(20)
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)
        return status

    def host_pid(self) -> int:
        """Return the process id of the host itself."""
        assert self.process is not None
        return int((self.folder / "config.pid").read_text()) if self.supervised else self.process.pid

    def ask(self, request: Mapping[str, Any], timeout_s: float = 60.0) -> dict[str, Any]:
        """Send one request to the control socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(self.folder / "run" / "host.sock"))
            connection.sendall(json.dumps(request).encode() + b"\n")
            content = bytearray()
            while piece := connection.recv(1 << 16):
                content += piece
        answer: dict[str, Any] = json.loads(content)
        return answer

    def status(self, target: HostTarget) -> dict[str, Any]:
        """Return what the host says of one target."""
        found: dict[str, Any] = self.ask({"op": "status"})["targets"][target.id]
        return found

    def call(self, target: HostTarget, document: Any = None, timeout_s: float = 20.0) -> tuple[int, Any]:
        """Call a function on its own socket."""
        return call(self.socket(target), document, timeout_s)

    def socket(self, target: HostTarget) -> Path:
        """Return where a target listens."""
        return self.folder / "run" / "fn" / f"{target.id}.sock"

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Return the host's records of one kind."""
        lines = (self.folder / "host" / "records.log").read_text().splitlines()
        return [record for record in map(json.loads, lines) if record["kind"] == kind]

    def log_lines(self, target: HostTarget) -> list[dict[str, Any]]:
        """Return what the function logged."""
        files = sorted((self.folder / "host" / "logs" / target.function).glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the host ended: {self.log.read_text()}")
        try:
            return bool(self.ask({"op": "status"})["ok"])
        except (OSError, ValueError):
            return False
