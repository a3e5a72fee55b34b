"""Changes under load, endpoints that come and go, reloads, and what is removed when."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from control_plane.adapters.gateway.files import read_map
from operators.ingress.change import CONTENT_MAPS
from operators.ingress.model import MAP_NAMES
from operators.ingress.objects import Subset
from operators.ingress.probe import is_live
from tests.ingress.harness import Load, RawBackend, World, until
from tests.ingress.objects import ingress, path, rule, service, split


def held(world: World, name: str) -> dict[str, str]:
    """Return a map as HAProxy itself holds it."""
    lines = world.proxy._admin.ask(f"show map {world.settings.map_file(name)}").splitlines()
    entries = [line.split(" ", 2)[1:] for line in lines if line]
    assert len({entry[0] for entry in entries}) == len(entries), "a key stands twice"
    return {entry[0]: entry[1] for entry in entries}


def servers(world: World) -> set[tuple[str, str, str]]:
    """Delete what can be, and return slot, server and state of all servers that HAProxy itself holds."""
    world.proxy.tidy()
    lines = world.proxy._admin.ask("show servers state").splitlines()[2:]
    rows = [line.split() for line in lines if line]
    return {(row[1], row[3], row[6]) for row in rows}


def test_no_call_fails_while_versions_follow_each_other(world: World) -> None:
    for number in range(8):
        world.echo(f"v{number}")
    world.apply(ingress(rule(path(split("v0")))))
    with Load(world.public) as load:
        for number in range(1, 8):
            made = ingress(rule(path(split(f"v{number}"))), generation=number + 1)
            assert not world.apply(made).reloaded
            # The runtime socket answers when it is done: the next call goes to the new version.
            assert world.call().backend == f"v{number}"
            world.now[0] += 11
            load.progress(20)
    assert not load.failures()


def test_no_call_fails_over_reloads(world: World) -> None:
    for name in ("one", "two"):
        world.echo(name)
    with Load(world.public) as load:
        world.apply(ingress(rule(path(split("one")))))
        until(lambda: load.answers["200 one"] > 0)
        load.answers.clear()
        for turn in range(6):
            # A header name that was never seen before stands in the configuration.
            name = ("two", "one")[turn % 2]
            assert world.apply(ingress(rule(path(split(name, 100, **{f"X-New-{turn}": "1"}))))).reloaded
            assert world.call().backend == name
            load.progress(20)
    assert not load.failures()


def test_addresses_come_and_go_under_load(world: World) -> None:
    one, two, three = (world.echo(name) for name in ("one", "two", "three"))
    world.serve("many", one.port)
    world.apply(ingress(rule(path(split("many")))))
    with Load(world.public) as load:
        for ports in ((one.port, two.port), (two.port,), (two.port, three.port), (one.port,), (three.port,)):
            world.endpoints["fn/many"] = tuple(Subset(("127.0.0.1",), {"http": port}) for port in ports)
            assert not world.apply().reloaded
            load.progress(40)
    assert not load.failures()
    assert {"200 one", "200 two", "200 three"} <= load.answers.keys()
    # Those that left take no call, and go when their idle connections have gone.
    assert [state for _, name, state in servers(world) if name.endswith(f"-{three.port}")] == ["0"]
    assert all(state == "1" for _, name, state in servers(world) if not name.endswith(f"-{three.port}"))


def test_a_call_that_is_under_way_ends_before_the_gateway_does(world: World) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        arrived.set()
        go_on.wait(20)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

    with contextlib.closing(RawBackend(serve)) as backend:
        world.serve("slow", backend.port)
        world.apply(ingress(rule(path(split("slow")))))
        with world.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: hello.example.com\r\nConnection: close\r\n\r\n")
            assert arrived.wait(10)
            assert world.launcher is not None
            world.launcher.terminate()
            # It takes no more calls, and the one that is under way is not cut.
            until(lambda: not world.proxy.running)
            go_on.set()
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert answer.endswith(b"late")
        assert world.launcher.wait(20) == 0
        world.launcher = None


@pytest.mark.slow
def test_servers_that_left_are_deleted_in_the_end(world: World) -> None:
    one, two = world.echo("one"), world.echo("two")
    world.serve("many", one.port)
    world.apply(ingress(rule(path(split("many")))))
    with Load(world.public) as load:
        load.progress()
        world.serve("many", two.port)
        world.apply()
        load.progress()
    until(lambda: len(servers(world)) == 1, 60)


def test_an_address_that_comes_back_before_it_is_gone_serves_again(world: World) -> None:
    one, two = world.echo("one"), world.echo("two")
    world.serve("many", one.port)
    world.apply(ingress(rule(path(split("many")))))
    for port in (two.port, one.port):
        world.endpoints["fn/many"] = (Subset(("127.0.0.1",), {"http": port}),)
        assert not world.apply().reloaded
    assert world.call().backend == "one"
    world.proxy.tidy()
    assert world.call().backend == "one"


def test_haproxy_holds_what_the_files_say(world: World) -> None:
    for name in ("one", "two"):
        world.echo(name)
    tagged = path(split("two"), headers={"Knative-Serving-Tag": {"exact": "t"}})
    first = ingress(rule(path(split("one", 90), split("two", 10)), tagged))
    second = ingress(rule(path(split("two")), path(split("one"), path="/api")), generation=2)
    other = ingress(rule(path(split("one")), host="b.example.com"), name="b")
    for made in ((first,), (second, other), (first, other), (other,), (first,)):
        assert not world.apply(*made).reloaded
        for name in MAP_NAMES:
            assert held(world, name) == read_map(world.settings.map_file(name)), name
        world.now[0] += 4


def test_unused_content_is_kept_for_the_calls_that_still_hold_it(world: World) -> None:
    for name in ("one", "two"):
        world.echo(name)
    world.apply(ingress(rule(path(split("one")))))
    before = held(world, "splits")
    world.apply(ingress(rule(path(split("two"))), generation=2))
    assert before.items() <= held(world, "splits").items()
    world.now[0] += 9
    world.apply()
    assert before.items() <= held(world, "splits").items()
    world.now[0] += 2
    world.apply()
    assert not before.items() & held(world, "splits").items()
    assert len(held(world, "splits")) == 1
    until(lambda: {row[0] for row in servers(world)} == {"k1"})


def test_a_slot_is_given_again_only_when_nobody_holds_it(world: World) -> None:
    for name in ("one", "two", "three"):
        world.echo(name)
    world.apply(ingress(rule(path(split("one")))))
    world.apply(ingress(rule(path(split("two"))), generation=2))
    world.apply(ingress(rule(path(split("three"))), generation=3))
    assert world.desired.positions.slots == {"fn/one:80": 0, "fn/two:80": 1, "fn/three:80": 2}
    world.now[0] += 11
    world.apply()
    assert world.desired.positions.slots == {"fn/three:80": 2}
    world.apply(ingress(rule(path(split("one"))), generation=4))
    assert world.desired.positions.slots == {"fn/one:80": 0, "fn/three:80": 2}
    assert world.call().backend == "one"


def test_more_backends_than_slots_take_one_reload(world: World) -> None:
    world.echo("one")
    world.apply()
    for number in range(70):
        world.services[f"fn/s{number}"] = service()
        world.endpoints[f"fn/s{number}"] = world.endpoints["fn/one"]
    many = [
        ingress(rule(path(split(f"s{number}")), host=f"h{number}.example.com"), name=f"i{number}")
        for number in range(70)
    ]
    assert world.apply(*many).reloaded
    assert world.desired.positions.count == 128
    assert world.call(host="h69.example.com").status == 200


def test_a_probe_says_which_rules_are_live(world: World) -> None:
    world.echo("one")
    made = ingress(rule(path(split("one"), path="/only/here")), rule(host="hello.fn", local=True))
    world.apply(made)
    probes = world.verdict().probes
    assert {probe.table for probe in probes} == {"public", "private"}
    assert is_live(world.settings, probes, made.hash)
    assert not is_live(world.settings, probes, "0" * 64)
    world.apply(ingress(rule(path(split("one"), path="/other")), generation=2))
    assert not is_live(world.settings, probes, made.hash)


def test_whatever_haproxy_answers_amiss_is_put_right_by_a_reload(world: World) -> None:
    world.echo("one")
    world.echo("two")
    world.apply(ingress(rule(path(split("one")))))
    # Somebody meddles: the key that the next change adds is there already, the server that it adds too.
    port = world.backends["two"].port
    world.proxy._admin.ask(f"add server k1/127-0-0-1-{port} 127.0.0.1:1")
    assert world.apply(ingress(rule(path(split("two"))), generation=2)).reloaded
    assert world.call().backend == "two"
    assert not world.apply(ingress(rule(path(split("one"))), generation=3)).reloaded


@pytest.mark.slow
def test_a_change_at_a_thousand_routes_is_live_within_sixty_milliseconds(world: World) -> None:
    for name in ("one", "two"):
        world.echo(name)
    world.apply()
    made = {}
    for number in range(1_000):
        world.services[f"fn/s{number}"] = service()
        world.endpoints[f"fn/s{number}"] = world.endpoints["fn/one"]
        rules = (
            rule(path(split(f"s{number}")), host=f"s{number}.example.com"),
            rule(path(split(f"s{number}")), host=f"s{number}.fn.svc.cluster.local", local=True),
        )
        made[number] = ingress(*rules, name=f"i{number:04}")
    world.apply(*made.values())
    world.services["fn/s1000"], world.endpoints["fn/s1000"] = service(), world.endpoints["fn/two"]
    times: list[float] = []
    for turn in range(41):
        name = ("s1000", "s500")[turn % 2]
        changed = ingress(rule(path(split(name)), host="s500.example.com"), name="i0500", generation=turn + 2)
        world.ingresses = {**world.ingresses, changed.key: changed}
        began = time.perf_counter()
        assert not world.apply().reloaded
        assert is_live(world.settings, world.verdict(changed.key).probes, changed.hash)
        times.append(time.perf_counter() - began)
        assert world.call(host="s500.example.com").backend == ("two", "one")[turn % 2]
        world.now[0] += 3
    times.sort()
    print(f"live after p50 {times[20] * 1e3:.1f} ms, p95 {times[38] * 1e3:.1f} ms")
    assert times[20] < 0.06
    assert sum(len(world.desired.maps[name]) for name in CONTENT_MAPS) >= 1_000
