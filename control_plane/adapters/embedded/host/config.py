"""What the function host must know before it starts: values only, no I/O beyond the machine's size.

The composition root builds it from the settings; tests build it by hand.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HostConfig", "default_memory_mb"]


def default_memory_mb() -> int:
    """Return half of the machine's memory: the rest belongs to the system and the other processes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (2 << 20)


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Everything that one function host is told."""

    # `.ingot/host`: desired.json, records.log, logs/
    folder: Path
    # `.ingot/layers`: unpacked layers, read-only
    layers: Path
    # Bytecode of layers, one folder for each interpreter; written by a confined process.
    bytecode: Path
    # The run folder, which has a short path: host.sock and fn/
    run: Path
    # Folders of the trusted code that templates load.
    shim: Path
    sandbox: Path
    validator: Path
    # "namespaces", "landlock" or "none"; chosen by the probe before the host starts.
    isolation: str
    # Opens a sealed secret: (tenant, sealed) -> plain value. Raises ValueError.
    open_secret: Callable[[str, str], bytes]
    # Who may connect to functions, and who may use the control socket. None: this process's user.
    gateway_uid: int | None = None
    control_uid: int | None = None
    # As root, instances take user ids from here on; None: they keep the host's.
    uid_base: int | None = None
    uid_count: int = 2000
    idle_timeout_s: float = 60.0
    max_life_s: float = 3600.0
    start_timeout_s: float = 30.0
    # Added to a request's deadline before the instance is killed: the shim answers 504 first.
    overdue_grace_s: float = 1.0
    # How long an instance may finish what runs when it was told to end.
    drain_s: float = 35.0
    tick_s: float = 0.025
    memory_mb: int = 0
    tmp_mb: int = 64
    level2_templates: int = 32
    level2_memory_mb: int = 1024
    # A level-2 template is built this long after the target's first use, so that
    # it never competes with the cold start that made it necessary.
    level2_delay_s: float = 0.5
    log_mb_per_day: int = 64
    log_mb_total: int = 2048
    log_days: int = 30
    backlog: int = 1024

    @property
    def desired(self) -> Path:
        """Return the wanted state's file."""
        return self.folder / "desired.json"

    @property
    def control_socket(self) -> Path:
        """Return the control socket's path."""
        return self.run / "host.sock"

    @property
    def sockets(self) -> Path:
        """Return the folder of the functions' sockets."""
        return self.run / "fn"
