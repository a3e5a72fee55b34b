"""A thousand versions and ten thousand keys: memory, the time of one change, and still right."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from control_plane.domain.desired import GatewayState, Route, Share
from tests.gateway.harness import SECRET, World, a_world, caller_key, policy

TARGETS = 1_000
KEYS = 10_000


def a_large_state(world: World) -> GatewayState:
    targets = tuple(world.target(f"t{number}", function=f"fn_{number}") for number in range(TARGETS))
    routes = tuple(Route(f"acme/f{n}", f"fn_{n}", (Share(f"t{n}", 100),)) for n in range(TARGETS))
    policies = tuple(policy(f"fn_{number}") for number in range(TARGETS))
    keys = tuple(caller_key(SECRET if number == 0 else f"key-{number}") for number in range(KEYS))
    return GatewayState(1, targets, routes, policies, keys)


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024


@pytest.mark.slow
def test_a_thousand_versions_and_ten_thousand_keys(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.start()
        world.toy("t999")
        state = a_large_state(world)
        assert world.gateway.apply(state).reloaded
        assert world.call("/acme/f999").status == 200
        assert world.call("/acme/f999", key=f"key-{KEYS - 1}").status == 200
        world.toy("t1000")
        times: list[float] = []
        for turn in range(10):
            name = "t1000" if turn % 2 == 0 else "t999"
            routes = (*state.routes[:-1], Route("acme/f999", "fn_999", (Share(name, 100),)))
            targets = (*state.targets, world.target("t1000", function="fn_999"))
            started = time.perf_counter()
            change = world.gateway.apply(dataclasses.replace(state, targets=targets, routes=routes))
            times.append(time.perf_counter() - started)
            assert not change.reloaded
            assert world.call("/acme/f999").status == 200
        # Tens of milliseconds; the bound leaves room for a busy machine.
        assert sorted(times)[5] < 0.2
        worker = int(world.gateway._admin.process())
        assert world.process is not None
        assert memory_mb(worker) + memory_mb(world.process.pid) < 50
