"""A real Prometheus over an exporter of the test's own, or over given targets."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.function_host import until

__all__ = ["running_prometheus"]


@contextmanager
def running_prometheus(folder: Path, targets: Sequence[str]) -> Iterator[str]:
    """Yield the address of a Prometheus that scrapes every second. Raises FileNotFoundError."""
    program = shutil.which("prometheus")
    if program is None:
        raise FileNotFoundError("prometheus is not installed (apt-get install prometheus)")
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "knative", "static_configs": [{"targets": list(targets)}]}],
    }
    file = folder / "prometheus.yml"
    # JSON is YAML too.
    file.write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: _ready(address), 30)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait(10)


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/-/ready", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
