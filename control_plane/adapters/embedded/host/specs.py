"""The sealed document that tells a new instance what it is.

It is the only place where opened secrets are: in memory, sealed, handed to one
process and closed at once.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from control_plane.adapters.embedded.host.config import HostConfig
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.domain.desired import HostTarget

__all__ = ["missing_layer", "sandbox_of", "seal", "spec_of"]


def spec_of(config: HostConfig, target: HostTarget, uid: int | None, *, secrets: bool) -> dict[str, Any]:
    """Return the spec of docs/contracts.md; `secrets` only for what is about to serve.

    Raises ValueError when a secret does not open.
    """
    spec = dict(zip(target.__slots__, (getattr(target, name) for name in target.__slots__), strict=True))
    spec["limits"] = asdict(target.limits)
    spec["secrets"] = _opened(config, target) if secrets else {}
    spec |= {
        "paths": _paths(config, target),
        "validator": str(config.validator),
        "uid": uid,
        "gid": uid,
        "memory_mb": target.limits.memory_mb,
        "tmp_mb": config.tmp_mb,
        "isolation": config.isolation,
        "profile": False,
    }
    return spec


def sandbox_of(machine: Machine, target: HostTarget, uid: int | None) -> dict[str, Any]:
    """Return what a template needs to confine a fork: nothing secret, as it stays in its memory."""
    config = machine.config
    return {
        "layers": _paths(config, target) | machine.bytecode.folders(target),
        "uid": -1 if uid is None else uid,
        "gid": -1 if uid is None else uid,
        "tmp_mb": config.tmp_mb,
        # Where no memory group can be made, a data limit stands in.
        "data_mb": 0 if machine.groups.limited else target.limits.memory_mb,
    }


def missing_layer(config: HostConfig, target: HostTarget) -> str | None:
    """Return the digest of a layer that is not on this machine, if any."""
    for digest in target.layers.values():
        if not (config.layers / digest[7:]).is_dir():
            return digest
    return None


def seal(spec: Mapping[str, Any]) -> int:
    """Return a read-only memfd that holds the spec as JSON."""
    descriptor = os.memfd_create("spec", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    content = json.dumps(spec).encode()
    written = 0
    while written < len(content):
        written += os.write(descriptor, content[written:])
    os.lseek(descriptor, 0, os.SEEK_SET)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def _paths(config: HostConfig, target: HostTarget) -> dict[str, str]:
    return {role: str(config.layers / digest[7:]) for role, digest in target.layers.items()}


def _opened(config: HostConfig, target: HostTarget) -> dict[str, str]:
    opened = {}
    for name, sealed in target.secrets.items():
        value = config.open_secret(target.organization, sealed)
        try:
            opened[name] = value.decode()
        except UnicodeDecodeError:
            opened[name] = base64.b64encode(value).decode()
    return opened
