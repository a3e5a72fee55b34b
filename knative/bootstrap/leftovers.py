"""Tells what of a cluster is on this machine: by it `down` proves that nothing is left."""

from __future__ import annotations

import contextlib
from pathlib import Path

from knative.bootstrap.cgroups import own_cgroups, processes_in
from knative.bootstrap.commands import run, succeeds
from knative.bootstrap.mounts import mounted_below
from knative.bootstrap.network import FIREWALL_TABLE, KUBE_PROXY_TABLES, is_ours
from knative.bootstrap.plan import BRIDGE, DEVICE, NETWORK, Plan

__all__ = ["CONTAINER_LOGS", "NETWORK_NOTES", "cluster_links", "network_notes", "remains"]

# Places whose paths are fixed in programs that the cluster uses; others may use them too.
CONTAINER_LOGS = Path("/var/log/containers")
NETWORK_NOTES = Path("/var/lib/cni")


def remains(plan: Plan, *, data_kept: bool = False) -> list[str]:
    """Return a line for each thing of the cluster that is here; with `data_kept`, for each that acts."""
    found = [f"process {pid} ({name})" for pid, name in sorted(_processes(plan).items())]
    found += [f"mount {point}" for folder in (plan.state, plan.run) for point in mounted_below(folder)]
    if is_ours(plan):
        found += _network()
    found += [f"cgroup {path}" for path in own_cgroups(plan)]
    found += [f"link {path}" for path in cluster_links(plan)]
    found += [f"file {path}" for path in network_notes(plan)]
    folders = [plan.run] if data_kept else [plan.run, plan.state]
    return found + [f"folder {folder}" for folder in folders if folder.exists()]


def cluster_links(plan: Plan) -> list[Path]:
    """Return the kubelet's links to its pods' logs."""
    if not CONTAINER_LOGS.is_dir():
        return []
    below = f"{plan.logs}/"
    return [
        path
        for path in CONTAINER_LOGS.iterdir()
        if path.is_symlink() and str(path.readlink()).startswith(below)
    ]


def network_notes(plan: Plan) -> list[Path]:
    """Return what the network plugins' library noted about the pods of this cluster."""
    folder = NETWORK_NOTES / "results"
    return sorted(folder.glob(f"{plan.network_name}-*")) if folder.is_dir() else []


def _processes(plan: Plan) -> dict[int, str]:
    """Return processes in the cluster's cgroups, and any that runs a program of its folders."""
    found = {pid: cgroup.name for cgroup in own_cgroups(plan) for pid in processes_in(cgroup)}
    below = f"{plan.state}/"
    for path in Path("/proc").glob("[0-9]*"):
        # It may end meanwhile, or be a thread of the kernel.
        with contextlib.suppress(OSError):
            program = str((path / "exe").readlink())
            if program.startswith(below):
                found.setdefault(int(path.name), Path(program).name)
    return found


def _network() -> list[str]:
    devices = [name for name in (DEVICE, BRIDGE) if succeeds(["ip", "link", "show", name])]
    found = [f"device {name}" for name in devices]
    found += [f"rules of table {family} {name}" for family, name in _tables()]
    return found + [f"route {line}" for line in _routes()]


def _tables() -> list[tuple[str, str]]:
    wanted = (("inet", FIREWALL_TABLE), *KUBE_PROXY_TABLES)
    return [(family, name) for family, name in wanted if succeeds(["nft", "list", "table", family, name])]


def _routes() -> list[str]:
    lines = run(["ip", "route", "show", "root", NETWORK]).splitlines()
    return [line.strip() for line in lines if line.strip()]
