"""Runs an image as a container without a container engine: its layers in a folder, behind its own walls."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.image import ImageLayer
from builders.storage import blob_path

__all__ = ["RunningImage", "run_image", "unpack_image"]

# Process ids and mounts of its own, read-only but for /tmp, an ordinary user; the network is the test's.
_WALLS = """
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$1/tmp"
root=$1 user=$2
shift 2
exec chroot --userspec="$user" "$root" "$@"
"""


@dataclass
class RunningImage:
    """The first process of a container, as its starter sees it."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def call(self, body: object) -> tuple[int, Any]:
        """Return status and JSON of one call."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def stop(self) -> int:
        """Send SIGTERM to the first process, as a cluster does; returns the exit status."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            subprocess.run(["kill", f"-{signal.SIGTERM}", child], check=True, timeout=10)
        return self.process.wait(20)


def unpack_image(layers: Sequence[ImageLayer], blobs: Path, root: Path) -> None:
    """Lay an image's layers over each other."""
    for layer in layers:
        with tarfile.open(blob_path(blobs, layer.digest), mode="r:") as archive:
            # Layers are ours: nothing of them is to be changed on the way.
            archive.extraction_filter = lambda member, _: member
            archive.extractall(root)


@contextmanager
def run_image(root: Path, config: dict[str, Any], folder: Path, **environment: str) -> Iterator[RunningImage]:
    """Start the image as its own configuration says; needs root."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    own = dict(pair.split("=", 1) for pair in config["Env"])
    walls = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    command = [*walls, "sh", "-c", _WALLS, "walls", str(root), config["User"], *config["Entrypoint"]]
    path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=own | path | environment | {"PORT": str(port)}, stdout=log, stderr=log
        )
    running = RunningImage(process, port, folder / "log")
    try:
        _wait_for(running)
        yield running
    finally:
        process.kill()
        process.wait(timeout=20)


def _wait_for(running: RunningImage) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and running.process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", running.port), timeout=1).close()
        except OSError:
            time.sleep(0.005)
        else:
            return
    raise TimeoutError(f"the image did not start: {running.log.read_text()[-2000:]}")
