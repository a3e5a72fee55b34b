"""The cluster's own cgroups, on either version: made, listed, emptied and removed. Nobody else's is touched.

Pods lie below one name in every controller. The parts of the cluster lie below
another in a single hierarchy that limits nothing: there a cgroup only tells
which processes belong to which part, whoever their parent was.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from knative.bootstrap.errors import ClusterError
from knative.bootstrap.plan import Plan

__all__ = [
    "end_processes",
    "make_parts_cgroup",
    "make_pods_cgroups",
    "own_cgroups",
    "part_cgroup",
    "processes_in",
    "remove_cgroups",
]

_ROOT = Path("/sys/fs/cgroup")
_SECONDS = 10.0


def _hierarchies() -> list[Path]:
    """Return the mounted hierarchies: the one of version 2, or each controller of version 1."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    # A link names a controller that shares another's hierarchy.
    found = [path for path in sorted(_ROOT.iterdir()) if not path.is_symlink()]
    return [path for path in found if (path / "cgroup.procs").exists()]


def _parts_root(plan: Plan) -> Path:
    hierarchies = _hierarchies()
    names = {path.name: path for path in hierarchies}
    for name in ("unified", "systemd", "pids"):
        if name in names:
            return names[name] / plan.parts_cgroup
    if not hierarchies:
        raise ClusterError("no cgroups are mounted below /sys/fs/cgroup")
    return hierarchies[0] / plan.parts_cgroup


def part_cgroup(plan: Plan, name: str) -> Path:
    """Return the cgroup of a part."""
    return _parts_root(plan) / name


def make_parts_cgroup(plan: Plan, name: str) -> Path:
    """Make the cgroup of a part and return it."""
    path = part_cgroup(plan, name)
    path.mkdir(parents=True, exist_ok=True)
    return path


def make_pods_cgroups(plan: Plan) -> None:
    """Make the cgroup that all pods lie below; the kubelet demands it in every controller."""
    for hierarchy in _hierarchies():
        path = hierarchy / plan.pods_cgroup
        path.mkdir(exist_ok=True)
        # A new cpuset of version 1 has no cores and takes no process.
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (path / name).exists() and not (path / name).read_text(encoding="ascii").strip():
                (path / name).write_text((hierarchy / name).read_text(encoding="ascii"), encoding="ascii")


def own_cgroups(plan: Plan) -> list[Path]:
    """Return every cgroup of the cluster that exists, inner ones first."""
    tops = [
        hierarchy / name for hierarchy in _hierarchies() for name in (plan.pods_cgroup, plan.parts_cgroup)
    ]
    found = [Path(folder) for top in tops if top.is_dir() for folder, _, _ in os.walk(top)]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def processes_in(cgroup: Path) -> set[int]:
    """Return the processes of a cgroup and of all below it."""
    found: set[int] = set()
    for folder, _, _ in os.walk(cgroup):
        # It may end while it is read.
        with contextlib.suppress(FileNotFoundError, OSError):
            found.update(int(line) for line in (Path(folder) / "cgroup.procs").read_text().split())
    # A process of another namespace is shown as 0.
    return found - {0}


def end_processes(cgroup: Path) -> None:
    """Kill all processes below a cgroup until none is left. Raises ClusterError when one stays."""
    until = time.monotonic() + _SECONDS
    while found := processes_in(cgroup):
        if time.monotonic() > until:
            raise ClusterError(f"processes {sorted(found)[:10]} of {cgroup.name} do not end")
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def remove_cgroups(plan: Plan) -> None:
    """End what runs in the cluster's cgroups and remove them."""
    for path in own_cgroups(plan):
        end_processes(path)
    until = time.monotonic() + _SECONDS
    while remaining := own_cgroups(plan):
        for path in remaining:
            # The kernel empties a cgroup a moment after its last process ended.
            with contextlib.suppress(FileNotFoundError, OSError):
                path.rmdir()
        if time.monotonic() > until:
            raise ClusterError(f"{own_cgroups(plan)[0]} cannot be removed")
        time.sleep(0.02)
