"""What the follower of one more gateway turns over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.adapters.embedded.clock import SystemClock
from control_plane.adapters.gateway.gateway import HAProxyGateway
from control_plane.bootstrap.gateway import make_gateway_settings
from control_plane.bootstrap.hops import make_hops
from control_plane.bootstrap.parts import make_changes, read_settings
from control_plane.services.following import GatewayFollower
from operators.resources import names

__all__ = ["Follower", "build_follower"]


@dataclass(frozen=True, slots=True)
class Follower:
    """What the follower turns over."""

    step: Callable[[], bool]
    # Gives pods newer tokens of the gateway; returns how many commands that took.
    renew_hops: Callable[[], int]


def build_follower(document: Mapping[str, Any], keys: Mapping[str, str]) -> Follower:
    """Return the follower's parts."""
    settings = read_settings(document)
    gateway = HAProxyGateway(
        make_gateway_settings(settings, document["identities"]), SystemClock(), make_hops(settings, keys)
    )
    follower = GatewayFollower(
        make_changes(settings), gateway, isolation=document["isolation"], host_of=_host_of
    )
    return Follower(follower.step, gateway.renew_hops)


def _host_of(target: str, function_name: str, project: str) -> str:
    return f"http://{names.version_host(target, function_name, names.namespace(project))}"
