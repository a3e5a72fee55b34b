"""Entry of a function host under test: reads its configuration from a JSON file and runs.

`python host_process.py CONFIG` runs the host; `python host_process.py CONFIG --supervised`
runs it below a small supervisor that keeps descriptors and restarts it when it is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def run_host(path: str) -> int:
    """Be the function host."""
    import logging

    from control_plane.adapters.embedded.host.config import HostConfig
    from control_plane.adapters.embedded.host.main import run

    logging.basicConfig(level=logging.INFO)
    values: dict[str, Any] = json.loads(Path(path).read_text())
    folders = {"folder", "layers", "bytecode", "run", "shim", "sandbox", "validator"}
    options: dict[str, Any] = {
        name: Path(value) if name in folders else value for name, value in values.items()
    }
    return run(HostConfig(open_secret=open_secret, **options))


def open_secret(tenant: str, sealed: str) -> bytes:
    """Open what the tests seal: the tenant's name in front of the value."""
    owner, _, value = sealed.partition(":")
    if owner != tenant:
        raise ValueError("this secret belongs to somebody else")
    return value.encode()


def supervise(path: str) -> int:
    """Keep descriptors for a host, start it again whenever it is killed, end with it on SIGTERM."""
    from tests.support.fake_store import FakeStore

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    store = FakeStore()
    host = _start(path, store)
    _note_pid(path, host)
    ending = False

    def end(_number: int, _frame: object) -> None:
        nonlocal ending
        ending = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(host, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    while True:
        select.select([store.channel], [], [], 0.01)
        store.serve_waiting()
        for pid, status in _reap():
            if pid != host:
                store.exits.append((pid, status))
            elif ending:
                store.close()
                _wait_for_orphans()
                return os.waitstatus_to_exitcode(status)
            else:
                host = _start(path, store)
                _note_pid(path, host)


def _start(path: str, store: Any) -> int:
    theirs: socket.socket = store.new_channel()
    process = subprocess.Popen(
        [sys.executable, __file__, path],
        env={**os.environ, "INGOT_STORE_FD": str(theirs.fileno())},
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    process.returncode = 0
    return process.pid


def _note_pid(path: str, pid: int) -> None:
    temporary = Path(path).with_suffix(".new")
    temporary.write_text(str(pid))
    temporary.rename(Path(path).with_suffix(".pid"))


def _reap() -> list[tuple[int, int]]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(ended)
    return found


def _wait_for_orphans() -> None:
    deadline = time.monotonic() + 10
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1]) if "--supervised" in sys.argv else run_host(sys.argv[1]))
