"""Debian's docker-registry for a test: on loopback, in a folder of its own, gone afterwards."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.token_service import TokenService

__all__ = ["PASSWORD", "USER", "running_registry"]

USER, PASSWORD = "robot", "secret"
# The password as bcrypt has it, which is all that this registry takes.
_HASHED = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"


@contextmanager
def running_registry(folder: Path, *, auth: str = "", deletes: bool = True) -> Iterator[str]:
    """Yield the registry's address. Raises FileNotFoundError when it is not installed."""
    program = shutil.which("docker-registry")
    if program is None:
        raise FileNotFoundError("docker-registry is not installed (apt install docker-registry)")
    port = _free_port()
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "storage")},
            "delete": {"enabled": deletes},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    service = TokenService(folder, USER, PASSWORD) if auth == "bearer" else None
    if auth == "basic":
        (folder / "htpasswd").write_text(f"{USER}:{_HASHED}\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    if service is not None:
        config["auth"] = {"token": service.start()}
    (folder / "config.yml").write_text(json.dumps(config))
    log = (folder / "registry.log").open("wb")
    process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        _wait_for(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        log.close()
        if service is not None:
            service.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError("the registry did not start")
