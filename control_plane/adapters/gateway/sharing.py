"""One gateway's part of the limits that several share; pure.

Each grants its part, rounded up: together they may grant more than the limit by
less than one call for each gateway, and never refuse everything.
"""

from __future__ import annotations

from dataclasses import replace

from control_plane.domain.desired import GatewayState

__all__ = ["part_of"]


def part_of(state: GatewayState, replicas: int) -> GatewayState:
    """Return the state with limits for one of so many gateways; 0 stays \"no limit\"."""
    if replicas <= 1:
        return state

    def part(limit: int) -> int:
        return -(-limit // replicas)

    return replace(
        state,
        targets=tuple(replace(one, maxconn=part(one.maxconn)) for one in state.targets),
        policies=tuple(
            replace(one, rate_10s=part(one.rate_10s), concurrency=part(one.concurrency))
            for one in state.policies
        ),
        keys=tuple(
            replace(one, rate_10s=part(one.rate_10s), concurrency=part(one.concurrency)) for one in state.keys
        ),
    )
