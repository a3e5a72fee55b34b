"""One gateway's part of the limits that several share."""

from __future__ import annotations

import pytest

from control_plane.adapters.gateway.sharing import part_of
from control_plane.domain.desired import GatewayState
from tests.gateway.harness import caller_key, policy
from tests.gateway.test_maps import target


def state(limit: int) -> GatewayState:
    return GatewayState(
        epoch=1,
        targets=(target("t1", maxconn=max(limit, 1)),),
        routes=(),
        policies=(policy(rate_10s=limit, concurrency=limit),),
        keys=(caller_key(rate_10s=limit, concurrency=limit),),
    )


@pytest.mark.parametrize(
    ("limit", "replicas", "part"),
    [(30, 3, 10), (31, 3, 11), (1, 3, 1), (2, 100, 1), (7, 1, 7), (100, 2, 50)],
)
def test_each_grants_its_part_rounded_up(limit: int, replicas: int, part: int) -> None:
    shared = part_of(state(limit), replicas)
    assert [one.maxconn for one in shared.targets] == [part]
    assert [(one.rate_10s, one.concurrency) for one in shared.policies] == [(part, part)]
    assert [(one.rate_10s, one.concurrency) for one in shared.keys] == [(part, part)]


def test_no_limit_stays_none_and_sizes_are_nobodys_part() -> None:
    shared = part_of(state(0), 3)
    assert (shared.keys[0].rate_10s, shared.policies[0].concurrency) == (0, 0)
    assert shared.policies[0].body_limit == policy().body_limit


def test_one_alone_grants_all() -> None:
    whole = state(5)
    assert part_of(whole, 1) is whole
    assert part_of(whole, 0) is whole
