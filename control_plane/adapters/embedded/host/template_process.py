"""The host's end of one template: start, hand over, stop.

A level-1 template is our own code. A level-2 template has run user code: what
it says is at most a hint, and it can fail to do anything it is asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from control_plane.adapters.embedded.host.log_pipes import LogPipe
from control_plane.adapters.embedded.host.loop import Timer

__all__ = ["TemplateProcess", "exec_template", "open_init"]

_CONTROL_DESCRIPTOR = 3
_BUFFER_BYTES = 1 << 20


@dataclass(slots=True)
class TemplateProcess:
    """One process that forks instances."""

    id: str
    level: int
    # The runtime of a level-1 template, the target of a level-2 template.
    key: str
    channel: socket.socket
    state: Literal["starting", "ready", "leaving", "gone"] = "starting"
    pid: int = 0
    pidfd: int = -1
    # A level-2 template's pid namespace ends with this process, its parent; -1 where it has none.
    init: int = -1
    uid: int | None = None
    group: Any = None
    memory_mb: float = 0.0
    last_used: float = 0.0
    log: LogPipe | None = None
    timer: Timer | None = None

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int]) -> bool:
        """Hand over without waiting; False when it does not take messages (any more)."""
        try:
            socket.send_fds(self.channel, [json.dumps(message).encode()], descriptors)
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Ask it to fork nothing more and exit; with instances left it ends after them."""
        if self.state in {"starting", "ready"}:
            self.state = "leaving"
            self.send({"op": "stop"}, [])

    def kill(self) -> None:
        """End it at once, and with it every process in its namespace."""
        if self.state != "gone":
            self.state = "leaving"
        for process in (self.init, self.pidfd):
            if process >= 0:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(process, signal.SIGKILL)

    def close(self) -> None:
        """Release the descriptors."""
        self.state = "gone"
        if self.timer is not None:
            self.timer.cancel()
        self.channel.close()
        for process in (self.init, self.pidfd):
            if process >= 0:
                os.close(process)
        self.init = self.pidfd = -1


def exec_template(interpreter: str, script: str, channel: socket.socket) -> int:
    """Start a level-1 template on `channel` and return its process id."""
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    return os.posix_spawn(
        interpreter,
        [interpreter, "-I", "-S", "-X", "utf8", script],
        # Nothing of the host's environment reaches user code.
        {"LANG": "C.UTF-8"},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, channel.fileno(), _CONTROL_DESCRIPTOR),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE],
    )


def open_init(pid: int) -> int:
    """Return a pidfd of the init of a process's pid namespace, when that is its parent; else -1.

    Killing the process alone would leave alive what its import has started.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        init = os.pidfd_open(parent)
        numbers = [
            line for line in Path(f"/proc/{parent}/status").read_text().splitlines() if "NSpid:" in line
        ]
        if numbers[0].split()[2:][-1:] == ["1"]:
            return init
        os.close(init)
    return -1
