"""The functions' gateway in front of the ingress: keys, limits and records as on one machine, pods behind."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.adapters.gateway.config import render_config
from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.errors import Invalid
from tests.gateway.harness import World as Gateway
from tests.gateway.harness import a_world as a_gateway
from tests.gateway.harness import say
from tests.ingress.harness import World
from tests.ingress.objects import ingress, path, rule, split

HOST = "t1-orders.prj-shop.svc.cluster.local"


@pytest.fixture
def behind(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, World]]:
    """A gateway that hands its calls over to the ingress's socket, and the ingress with one version."""
    world.echo("one")
    routed = split("one", 100, **{"Knative-Serving-Revision": "orders-1"})
    world.apply(ingress(rule(path(routed), host=HOST, local=True)))
    with a_gateway(
        tmp_path_factory.mktemp("g"), ingress=world.settings.gateway_socket, queue_timeout_ms=1_000
    ) as gateway:
        gateway.start()
        yield gateway, world


def test_a_call_with_a_key_reaches_the_pod_of_its_version(behind: tuple[Gateway, World]) -> None:
    gateway, _ = behind
    gateway.gateway.apply(gateway.state(gateway.target("t1", socket=f"http://{HOST}")))
    reply = gateway.call("/acme/orders/a?b=c")
    assert reply.status == 200
    said = json.loads(reply.body)
    assert said["path"] == "/a?b=c"
    got = {name.lower(): value for name, value in said["headers"].items()}
    assert got["host"] == HOST
    assert got["x-forwarded-host"] == "functions.example"
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["knative-serving-revision"] == "orders-1"
    assert got["x-ingot-usage-id"] == reply.header("x-ingot-usage-id")
    assert "x-api-key" not in got
    record = gateway.record_of(reply)
    assert (record.target, record.status, record.why) == ("t1", 200, "")
    assert gateway.call(key=None).code == "key_missing"
    assert gateway.call(key="ik_other").code == "key_unknown"


def test_a_version_that_the_cluster_does_not_have_is_not_found(behind: tuple[Gateway, World]) -> None:
    gateway, _ = behind
    gateway.gateway.apply(gateway.state(gateway.target("t2", socket="http://t2.gone.svc.cluster.local")))
    assert gateway.call().status == 404


def test_sockets_and_hosts_may_stand_side_by_side(behind: tuple[Gateway, World]) -> None:
    gateway, _ = behind
    gateway.toy("t3", say(b"by socket"))
    gateway.gateway.apply(gateway.state(gateway.target("t3")))
    assert gateway.call().body == b"by socket"


def test_another_ingress_is_reached_by_its_address(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world.echo("one")
    world.apply(ingress(rule(path(split("one")), host=HOST, local=True)))
    address = f"127.0.0.1:{world.ports['private']}"
    with a_gateway(tmp_path_factory.mktemp("g"), ingress=address) as gateway:
        gateway.start()
        gateway.gateway.apply(gateway.state(gateway.target("t1", socket=f"http://{HOST}")))
        for _ in range(3):
            assert gateway.call().status == 200


def test_a_host_without_an_ingress_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(a_gateway(tmp_path_factory.mktemp("g")))
        with pytest.raises(Invalid, match="no way to"):
            gateway.gateway.apply(gateway.state(gateway.target("t1", socket=f"http://{HOST}")))
        odd = stack.enter_context(a_gateway(tmp_path_factory.mktemp("g"), ingress="localhost:1 check"))
        with pytest.raises(Invalid):
            odd.gateway.apply(odd.state(odd.target("t1", socket=f"http://{HOST}")))
        fine = stack.enter_context(a_gateway(tmp_path_factory.mktemp("g"), ingress="127.0.0.1:1"))
        for host in ("a b", "a|b", "A", ""):
            with pytest.raises(Invalid):
                fine.gateway.apply(fine.state(fine.target("t1", socket=f"http://{host}")))


def test_connections_are_pooled_towards_an_ingress_and_nowhere_else() -> None:
    run, data = Path("/r"), Path("/d")
    alone = render_config(GatewaySettings(run, data))
    inside = render_config(GatewaySettings(run, data, ingress="198.18.255.1:8081"))
    assert (alone.count("http-reuse never"), alone.count("http-reuse always")) == (2, 0)
    assert (inside.count("http-reuse never"), inside.count("http-reuse always")) == (1, 1)
    assert "http-reuse never" in inside.partition("defaults control")[2]
