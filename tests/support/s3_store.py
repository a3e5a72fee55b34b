"""A real S3 store for a test: MinIO on loopback, in a folder of its own, gone afterwards."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from control_plane.adapters.cluster.bucket import Bucket, BucketAccess

__all__ = ["S3Store", "running_s3"]

_USER = "tester"


class S3Store:
    """One store, which can be killed and started again."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.password = secrets.token_hex(12)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Return where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def user(self) -> str:
        """Return its administrator's name."""
        return _USER

    def access(self, bucket: str, *, port: int = 0, timeout_s: float = 10.0) -> BucketAccess:
        """Return the administrator's access; `port` is a proxy's."""
        return BucketAccess(
            bucket=bucket,
            endpoint=f"http://127.0.0.1:{port or self.port}",
            region="us-east-1",
            access_key=_USER,
            secret_key=self.password,
            timeout_s=timeout_s,
        )

    def new_bucket(self) -> Bucket:
        """Make an empty bucket."""
        bucket = Bucket(self.access(f"test-{secrets.token_hex(6)}"))
        bucket.client.create_bucket(Bucket=bucket.name)
        return bucket

    def start(self) -> None:
        """Start and wait until it answers."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "MINIO_ROOT_USER": _USER,
            "MINIO_ROOT_PASSWORD": self.password,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
        command = [self._program, "server", "--quiet", "--address", f"127.0.0.1:{self.port}"]
        with (self._folder / "s3.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(self._folder / "data")], env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.endpoint}/minio/health/ready", timeout=2).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
            else:
                return
        raise TimeoutError("the S3 store did not start")

    def kill(self) -> None:
        """End it without a warning."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(20)


@contextmanager
def running_s3(folder: Path) -> Iterator[S3Store]:
    """Yield a running store. Raises FileNotFoundError where its program was not built."""
    store = S3Store(_program(), folder)
    store.start()
    try:
        yield store
    finally:
        store.kill()


def _program() -> str:
    """Return MinIO: the one on the path, or the one that the one-node cluster's build has made."""
    if found := os.environ.get("INGOT_TEST_MINIO") or shutil.which("minio"):
        return found
    cache = Path(os.environ.get("INGOT_CLUSTER_CACHE") or Path.home() / ".cache" / "ingot" / "cluster")
    built = sorted(cache.glob("minio-*/bin/minio"), key=lambda path: path.stat().st_mtime)
    if not built:
        raise FileNotFoundError("no MinIO was built (python -m knative.bootstrap build)")
    return str(built[-1])
