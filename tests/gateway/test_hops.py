"""What the gateway vouches for towards a cluster's pods: a real HAProxy, and a stand-in for the ingress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.adapters.gateway.files import read_map
from control_plane.adapters.gateway.gateway import HAProxyGateway
from control_plane.domain.desired import Route, Share
from control_plane.domain.hop_tokens import RENEW_S, HopTokens
from tests.gateway.harness import ToyFunction, World, a_world, policy, until

HOST = "http://t1-orders.prj-shop.svc.cluster.local"


class Seconds:
    """Unix seconds that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def world(tmp_path: Path, seconds: Seconds) -> Iterator[World]:
    with a_world(tmp_path, ingress=str(tmp_path / "r" / "ingress.sock")) as made:
        hops = HopTokens("key1", lambda message: message.decode().rsplit(".", 1)[1], seconds)
        made.gateway = HAProxyGateway(made.settings, made.clock, hops)
        made.toys["ingress"] = ToyFunction(made.settings.ingress)
        yield made


def hop(world: World, number: int = -1) -> str | None:
    return world.toys["ingress"].requests[number].header("x-ingot-hop")


def test_a_call_into_a_cluster_carries_its_functions_token(world: World) -> None:
    first = world.target("t1", socket=HOST)
    second = world.target("t2", socket=HOST.replace("t1", "t2"), function="fn_pay")
    routes = (
        Route("acme/orders", "fn_orders", (Share("t1", 100),)),
        Route("acme/pay", "fn_pay", (Share("t2", 100),)),
    )
    world.gateway.apply(world.state(first, second, routes=routes, policies=(policy(), policy("fn_pay"))))
    world.start()
    # What a caller brings is never passed on.
    assert world.call(headers={"X-Ingot-Hop": "forged"}).status == 200
    assert hop(world) == "v1.key1.1300.fn_orders.fn_orders"
    assert world.toys["ingress"].requests[-1].header("host") == "t1-orders.prj-shop.svc.cluster.local"
    assert world.call("/acme/pay").status == 200
    assert hop(world) == "v1.key1.1300.fn_pay.fn_pay"


def test_a_new_function_has_its_token_with_its_route(world: World, seconds: Seconds) -> None:
    world.start()
    world.gateway.apply(world.state(policies=()))
    seconds.now += 7
    change = world.gateway.apply(world.state(world.target("t1", socket=HOST)))
    assert not change.reloaded
    assert world.call().status == 200
    assert hop(world) == "v1.key1.1307.fn_orders.fn_orders"


def test_tokens_are_renewed_while_calls_go_on_without_a_reload(world: World, seconds: Seconds) -> None:
    world.start()
    world.gateway.apply(world.state(world.target("t1", socket=HOST)))
    process = world.gateway._process()
    assert world.gateway.renew_hops() == 0
    seconds.now += RENEW_S
    assert world.gateway.renew_hops() == 1
    assert world.call().status == 200
    assert hop(world) == f"v1.key1.{1_300 + RENEW_S}.fn_orders.fn_orders"
    assert world.gateway._process() == process
    # A start finds what was told last.
    known = read_map(world.settings.map_file("hop"))
    assert known == {"fn_orders": hop(world)}


def test_a_gateway_that_is_away_finds_newer_tokens_when_it_starts(world: World, seconds: Seconds) -> None:
    world.gateway.apply(world.state(world.target("t1", socket=HOST)))
    seconds.now += RENEW_S
    assert world.gateway.renew_hops() == 0
    world.start()
    assert world.call().status == 200
    assert hop(world) == f"v1.key1.{1_300 + RENEW_S}.fn_orders.fn_orders"


def test_a_preview_on_this_machine_gets_none(world: World) -> None:
    toy = world.toy("p1")
    world.gateway.apply(world.state(world.target("p1")))
    world.start()
    assert world.call().status == 200
    assert toy.requests[-1].header("x-ingot-hop") is None


def test_a_thousand_functions_are_renewed_in_a_blink(world: World, seconds: Seconds) -> None:
    functions = [f"fn_{number}" for number in range(1_000)]
    world.start()
    world.gateway.apply(world.state(policies=tuple(policy(name) for name in functions), keys=()))
    seconds.now += RENEW_S
    began = time.monotonic()
    assert world.gateway.renew_hops() == 1_000
    assert time.monotonic() - began < 5
    until(lambda: len(read_map(world.settings.map_file("hop"))) == 1_000)
