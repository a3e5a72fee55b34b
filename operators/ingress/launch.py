"""Keeps HAProxy running: it holds the listeners, so calls wait for a new process instead of being refused.

It starts from the files that the controller writes, and knows nothing of their
content. The controller may come and go; calls are served meanwhile. It has one
thread, as the step between fork and exec runs Python.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from control_plane.adapters.gateway.binary import find_haproxy
from operators.ingress.config import INHERITED
from operators.ingress.settings import IngressSettings

__all__ = ["Launcher", "listen", "main"]

BACKLOG = 4_096
# A process that ends at once is started anew after this; doubled up to the second one.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 5.0

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def listen(address: str) -> socket.socket:
    """Return a listener for `host:port` or `[host]:port`."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind((host, int(port)))
    opened.listen(BACKLOG)
    return opened


class Launcher:
    """Starts HAProxy as often as it ends, until it is told to stop."""

    def __init__(self, settings: IngressSettings, listeners: Mapping[str, socket.socket]) -> None:
        self._settings = settings
        self._listeners = listeners
        self._program = find_haproxy()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Keep it running; returns after `stop`."""
        pause = FIRST_PAUSE
        while not self._stopped:
            if not self._settings.config_file.exists():
                time.sleep(FIRST_PAUSE)
                continue
            began = time.monotonic()
            self._process = self._start()
            if self._stopped:
                self.stop()
            code = self._process.wait()
            if self._stopped:
                return
            lived = time.monotonic() - began
            print(f"haproxy ended with {code} after {lived:.1f} s", file=sys.stderr, flush=True)
            # One that served is started at once; one that cannot start is not tried in a circle.
            pause = FIRST_PAUSE if lived > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
            time.sleep(0 if lived > 1 else pause)

    def stop(self) -> None:
        """Let calls end, then return from `run`; safe to call from a signal's handler."""
        self._stopped = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGUSR1)

    def cut(self) -> None:
        """End what has not ended in time."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def _start(self) -> subprocess.Popen[bytes]:
        numbers = {INHERITED[name]: opened.fileno() for name, opened in self._listeners.items()}
        settings = self._settings
        return subprocess.Popen(
            [
                self._program,
                "-W",
                "-S",
                f"{settings.master_socket},mode,600",
                "-f",
                str(settings.config_file),
                "-f",
                str(settings.slots_file),
            ],
            env={**os.environ, **{name: str(number) for name, number in numbers.items()}},
            pass_fds=tuple(numbers.values()),
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
        )


def _die_with_parent() -> None:
    """Let calls end when the launcher is killed, so that the next one can listen."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)


def main(arguments: list[str] | None = None) -> None:
    """Run as a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m operators.ingress.launch", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of configuration and maps")
    parser.add_argument("--run", type=Path, required=True, help="folder of sockets; a short path")
    parser.add_argument("--public", default="127.0.0.1:8080", help="host:port of calls from outside")
    parser.add_argument("--public-tls", default="127.0.0.1:8443", help="host:port of the same with TLS")
    parser.add_argument("--private", default="127.0.0.1:8081", help="host:port of calls inside the cluster")
    parser.add_argument("--drain", type=float, default=30.0, help="seconds in which calls may end at a stop")
    given = parser.parse_args(arguments)
    settings = IngressSettings(run_folder=given.run, data_folder=given.data)
    addresses = {"public": given.public, "public-tls": given.public_tls, "private": given.private}
    launcher = Launcher(settings, {name: listen(address) for name, address in addresses.items()})

    def stop(_number: int, _frame: FrameType | None) -> None:
        launcher.stop()
        signal.setitimer(signal.ITIMER_REAL, given.drain)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGALRM, lambda _number, _frame: launcher.cut())
    launcher.run()


if __name__ == "__main__":
    main()
