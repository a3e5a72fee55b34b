"""The operator's settings, from `INGOT_OPERATOR_…` variables; each is explained in docs/operator.md."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from operators.resources.common import Options, Peer

__all__ = ["PREFIX", "OperatorSettings", "read_settings"]

PREFIX = "INGOT_OPERATOR_"


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """How one operator process works."""

    # Namespace of the lease and of the ConfigMap ingot-trust.
    namespace: str = "ingot-system"
    # File that says where the cluster is; empty: the pod's own account.
    kubeconfig: str = ""
    # Unique for each process.
    identity: str = ""
    # Seconds until everything is looked at again though nothing seemed to change.
    resync_s: float = 300.0
    # Functions looked at side by side.
    workers: int = 4
    # Seconds that others wait after the leader's last renewal.
    lease_s: float = 15.0
    # host:port of the health page; empty for none.
    health: str = ""
    options: Options = field(default_factory=Options)


def read_settings(environment: Mapping[str, str] | None = None) -> OperatorSettings:
    """Return the settings. Raises ValueError that names the variable at fault."""
    given = {
        name.removeprefix(PREFIX): value
        for name, value in (os.environ if environment is None else environment).items()
        if name.startswith(PREFIX)
    }
    plain = OperatorSettings()
    settings = OperatorSettings(
        namespace=given.pop("NAMESPACE", plain.namespace),
        kubeconfig=given.pop("KUBECONFIG", plain.kubeconfig),
        identity=given.pop("IDENTITY", f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"),
        resync_s=_number(given, "RESYNC_S", plain.resync_s, 1, 86_400),
        workers=int(_number(given, "WORKERS", plain.workers, 1, 64)),
        lease_s=_number(given, "LEASE_S", plain.lease_s, 5, 600),
        health=given.pop("HEALTH", plain.health),
        options=_options(given),
    )
    if given:
        raise ValueError(f"{PREFIX}{sorted(given)[0]} is unknown.")
    return settings


def _options(given: dict[str, str]) -> Options:
    plain = Options()
    peers = tuple(_peer(one) for one in _listed(given.pop("CALLERS", "knative-serving,ingot-system")))
    return Options(
        peers=peers,
        pull_secrets=tuple(_listed(given.pop("PULL_SECRETS", ""))),
        memory_request_percent=int(
            _number(given, "MEMORY_REQUEST_PERCENT", plain.memory_request_percent, 1, 100)
        ),
        cpu_request=given.pop("CPU_REQUEST", plain.cpu_request),
        burst_capacity=given.pop("BURST_CAPACITY", plain.burst_capacity),
        tmp_mb=int(_number(given, "TMP_MB", plain.tmp_mb, 1, 16_384)),
    )


def _peer(text: str) -> Peer:
    if "/" not in text:
        return Peer(namespace=text)
    try:
        return Peer(cidr=str(ip_network(text)))
    except ValueError as error:
        raise ValueError(f"{PREFIX}CALLERS: {error}") from error


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _number(given: dict[str, str], name: str, default: float, least: float, most: float) -> float:
    text = given.pop(name, None)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = most + 1
    if not least <= value <= most:
        raise ValueError(f"{PREFIX}{name} is {text!r}; it must be a number from {least:g} to {most:g}.")
    return value
