"""Takes the cluster off this machine: processes, mounts, network, cgroups and folders, in this order.

Nothing is asked to clean up after itself: whatever state the cluster is in,
even half started or half removed, the same steps end with nothing left.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from knative.bootstrap import network
from knative.bootstrap.cgroups import remove_cgroups
from knative.bootstrap.leftovers import CONTAINER_LOGS, NETWORK_NOTES, cluster_links, network_notes
from knative.bootstrap.mounts import unmount_below
from knative.bootstrap.part import Part, in_order
from knative.bootstrap.phases import Phases
from knative.bootstrap.plan import Plan
from knative.bootstrap.processes import stop

__all__ = ["remove"]

_SHIM_SOCKETS = Path("/run/containerd")


def remove(plan: Plan, parts: Sequence[Part], phases: Phases, *, keep_data: bool) -> None:
    """Stop and remove everything; with `keep_data` what the next start needs stays on disk."""
    with phases.phase("parts stopped"):
        for part in reversed(in_order(parts)):
            stop(plan, part)
    with phases.phase("pods ended"):
        sockets = _shim_sockets(plan)
        # The processes of pods, and the shims that watched them.
        remove_cgroups(plan)
        _unlink([*sockets, *cluster_links(plan), *network_notes(plan)])
    with phases.phase("mounts, devices and rules removed"):
        for folder in (plan.state, plan.run):
            unmount_below(folder)
        network.remove(plan)
    with phases.phase("folders removed"):
        shutil.rmtree(plan.run, ignore_errors=True)
        if not keep_data:
            shutil.rmtree(plan.state, ignore_errors=True)
        for folder in (
            *(_SHIM_SOCKETS / "s", _SHIM_SOCKETS),
            *(NETWORK_NOTES / "results", NETWORK_NOTES, CONTAINER_LOGS),
        ):
            # Others' content keeps it.
            with contextlib.suppress(OSError):
                folder.rmdir()


def _shim_sockets(plan: Plan) -> list[Path]:
    """Return the shims' sockets, which lie in a folder that all container runtimes share."""
    found = []
    for note in plan.containerd_socket.parent.glob("io.containerd.runtime.v2.task/*/*/address"):
        path = Path(note.read_text(encoding="utf-8").strip().removeprefix("unix://"))
        if path.parent == _SHIM_SOCKETS / "s":
            found.append(path)
    return found


def _unlink(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
