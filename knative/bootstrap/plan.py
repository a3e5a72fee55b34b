"""Where the cluster lies on this machine: folders, addresses, names. Values only; nothing is touched here.

The addresses are from the range for benchmarks between networks (RFC 2544): no
machine on any network has them. They are fixed, so a machine has one such cluster.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = [
    "BRIDGE",
    "DEVICE",
    "FIRST_SERVICE",
    "FUNCTIONS_DOMAIN",
    "NETWORK",
    "NODE",
    "NODE_ADDRESS",
    "PODS",
    "REGISTRY",
    "SERVICES",
    "Plan",
    "Profile",
    "plan_from",
]

NODE = "ingot-node"
NODE_ADDRESS = "198.18.255.1"
NETWORK = "198.18.0.0/15"
PODS = "198.18.0.0/17"
SERVICES = "198.19.0.0/16"
FIRST_SERVICE = "198.19.0.1"
DEVICE = "ingot0"
BRIDGE = "ingot-br0"
REGISTRY = f"{NODE_ADDRESS}:5000"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
_PATH = re.compile(r"/[A-Za-z0-9._/-]+")
FUNCTIONS_DOMAIN = "fn.ingot.internal"


class Profile(StrEnum):
    """What the cluster promises about its data."""

    # What was acknowledged survives a power cut: etcd and PostgreSQL sync to disk.
    DURABLE = "durable"
    # For tests: etcd lies in memory and nothing is synced; a crash of the machine loses all.
    FAST = "fast"


@dataclass(frozen=True, slots=True)
class Plan:
    """The folders of one cluster under its profile."""

    profile: Profile
    # What survives a restart of the machine.
    state: Path
    # What must not: sockets, process ids, network leases.
    run: Path
    # Built binaries, shared by all checkouts.
    cache: Path
    # What its cgroups and folders are called after. A second cluster needs another name
    # and a network namespace of its own, as the addresses are fixed.
    name: str = "ingot"

    @property
    def pods_cgroup(self) -> str:
        """Return the cgroup that all pods lie below."""
        return self.name

    @property
    def parts_cgroup(self) -> str:
        """Return the cgroup that the parts of the cluster lie below."""
        return f"{self.name}-node"

    @property
    def network_name(self) -> str:
        """Return what the network plugins name their notes after."""
        return f"{self.name}-cluster"

    @property
    def pki(self) -> Path:
        """Return the folder of certificates and keys."""
        return self.state / "pki"

    @property
    def config(self) -> Path:
        """Return the folder of the parts' configuration."""
        return self.state / "config"

    @property
    def credentials(self) -> Path:
        """Return the folder of passwords and kubeconfigs."""
        return self.state / "credentials"

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig."""
        return self.credentials / "admin.kubeconfig"

    @property
    def logs(self) -> Path:
        """Return the folder of the parts' logs."""
        return self.state / "logs"

    @property
    def bin(self) -> Path:
        """Return the folder from which the parts run."""
        return self.state / "bin"

    @property
    def containerd_socket(self) -> Path:
        """Return the socket of the container runtime."""
        return self.run / "containerd" / "containerd.sock"

    def private(self, part: str) -> Path:
        """Return the folder of what only the account of a part may read."""
        return self.state / "private" / part

    def data(self, part: str) -> Path:
        """Return the folder of a part's data."""
        return self.state / "data" / part


def plan_from(environment: Mapping[str, str], profile: Profile) -> Plan:
    """Return the plan that the environment asks for; its defaults suit a machine of one's own."""
    home = Path(environment.get("HOME", "/root"))
    caches = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    name = environment.get("INGOT_CLUSTER_NAME") or "ingot"
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"INGOT_CLUSTER_NAME must be up to 20 small letters, digits and dashes, not {name!r}"
        )
    return Plan(
        profile=profile,
        state=_folder(environment, "INGOT_CLUSTER_STATE", Path(f"/var/lib/{name}-cluster")),
        run=_folder(environment, "INGOT_CLUSTER_RUN", Path(f"/run/{name}-cluster")),
        cache=_folder(environment, "INGOT_CLUSTER_CACHE", caches / "ingot" / "cluster"),
        name=name,
    )


def _folder(environment: Mapping[str, str], name: str, default: Path) -> Path:
    asked = environment.get(name)
    if not asked:
        return default
    # `down` removes these folders with all that is in them, and configurations of all kinds name them.
    path = Path(os.path.normpath(asked))
    if not _PATH.fullmatch(str(path)) or len(path.parts) < 3:
        raise ValueError(
            f"{name} must be an absolute path of two or more folders, of letters, digits, dots and dashes,"
            f" not {asked!r}"
        )
    return path
