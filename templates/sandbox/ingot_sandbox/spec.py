"""What the caller wants of one sandboxed process, and the error when it cannot be had.

Values only: nothing here touches the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ENVIRONMENT", "LANDLOCK", "NAMESPACES", "NONE", "IsolationUnavailable", "SandboxSpec"]

NAMESPACES = "namespaces"
LANDLOCK = "landlock"
# Only for `--insecure-no-sandbox`: the same calls, no confinement.
NONE = "none"

# Everything that user code finds in its environment before its own settings
# are added. One thread for each numeric library: threads left behind by an
# import would make forking a warm template impossible.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "USER": "function",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class IsolationUnavailable(Exception):
    """This machine or user cannot give the isolation asked for; the message says what is missing."""


@dataclass(slots=True)
class SandboxSpec:
    """One instance, or one warm template.

    `layers` maps a name to a host folder below one of the roots given to
    `base.prepare`; it appears at `/<name>` (level namespaces) or stays where
    it is (level landlock): `Base.layer_path` tells. Descriptors keep their
    numbers; all others are closed. `output` is copied to 1 and 2.
    """

    layers: Mapping[str, str] = field(default_factory=dict)
    # -1 keeps the caller's ids; only root can set others.
    uid: int = -1
    gid: int = -1
    tmp_mb: int = 64
    tmp_inodes: int = 16_384
    # Level landlock has no private mount: the caller makes and removes this folder.
    tmp_folder: str = ""
    # Processes and threads. A pids cgroup is the better bound where it is writable.
    processes: int = 64
    open_files: int = 1024
    # Doors of the groups that the process joins by itself; user code never has them at level 1.
    groups: tuple[int, ...] = ()
    # 0 sets no data limit, for callers that have a memory cgroup.
    data_mb: int = 0
    descriptors: tuple[int, ...] = ()
    # The shared listening socket, -1 for none; user code can only accept on it.
    listener: int = -1
    # Becomes 1 and 2; -1 for /dev/null.
    output: int = -1
    # A failure before user code is written here as one JSON object; -1 for none.
    status: int = -1
    # Sent when the process that inherits the orphan (the subreaper) dies; 0 for none.
    death_signal: int = 15
