"""The api and streams processes as the supervisor starts them: ready, serving, ending at once."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from control_plane.settings import load_settings

pytestmark = pytest.mark.slow

_RUN = "import json, os; from {module} import run; run(json.loads(open(os.environ['INGOT_CONFIG']).read()))"


@contextmanager
def role(module: str, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a role with its keys on a descriptor; yield it when it says that it is ready."""
    keys = {
        name: base64.b64encode(os.urandom(32)).decode() for name in ("master", "audit", "cursor", "files")
    }
    keys_read, keys_write = os.pipe()
    ready_read, ready_write = os.pipe()
    os.write(keys_write, json.dumps(keys).encode())
    os.close(keys_write)
    environment = {
        **os.environ,
        "INGOT_CONFIG": str(config),
        "INGOT_SECRETS_FD": str(keys_read),
        "INGOT_READY_FD": str(ready_write),
    }
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _RUN.format(module=module)],
        env=environment,
        pass_fds=(keys_read, ready_write),
        stderr=subprocess.PIPE,
    )
    os.close(keys_read)
    os.close(ready_write)
    try:
        assert select.select([ready_read], [], [], 20)[0], "it never said that it is ready"
        assert os.read(ready_read, 100) == b"READY=1\n"
        yield process
    finally:
        os.close(ready_read)
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


def ends(process: subprocess.Popen[bytes]) -> list[dict[str, object]]:
    """Ask for a graceful end and return the log lines; each must be JSON."""
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors.decode()
    return [json.loads(line) for line in errors.decode().splitlines()]


@pytest.fixture
def config(migrated_databases: Path, tmp_path: Path) -> Path:
    (tmp_path / "db").mkdir()
    (tmp_path / "run").mkdir()
    for name in ("control.db", "usage.db"):
        shutil.copy(migrated_databases / name, tmp_path / "db" / name)
    settings = replace(load_settings(tmp_path, {}), run=tmp_path / "run")
    path = tmp_path / "api.json"
    path.write_text(settings.document())
    return path


def get(config: Path, socket: str, path: str, **headers: str) -> httpx.Response:
    transport = httpx.HTTPTransport(uds=str(config.parent / "run" / socket))
    with httpx.Client(transport=transport, base_url="http://ingot", timeout=10) as client:
        return client.get(path, headers=headers)


def test_the_api_process_serves_and_ends(config: Path) -> None:
    # What a killed process left behind is no obstacle.
    (config.parent / "run" / "api-0.sock").touch()
    with role("control_plane.api.serving", config) as process:
        assert get(config, "api-0.sock", "/readyz").status_code == 200
        assert get(config, "api-0.sock", "/api/v1/me").json()["code"] == "unauthenticated"
        socket = config.parent / "run" / "api-0.sock"
        assert socket.stat().st_mode & 0o777 == 0o660
        assert ends(process)


def test_the_streams_process_serves_and_ends(config: Path) -> None:
    with role("control_plane.api.streams", config) as process:
        answer = get(config, "streams.sock", "/api/v1/stream")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert ends(process)
