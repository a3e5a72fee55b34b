"""Maps, slots and plans: golden text, exact weights, order, and a model that must converge."""

from __future__ import annotations

import dataclasses
from collections import Counter
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.adapters.gateway.addresses import address_keys
from control_plane.adapters.gateway.commands import Command
from control_plane.adapters.gateway.files import decode_servers, encode_map, encode_servers
from control_plane.adapters.gateway.maps import Maps, make_maps
from control_plane.adapters.gateway.model import GatewaySettings, SlotServer
from control_plane.adapters.gateway.plan import plan_change
from control_plane.adapters.gateway.slots import assign_slots
from control_plane.domain.desired import Cors, GatewayState, Route, Share, Target
from control_plane.errors import Invalid
from tests.gateway.harness import caller_key, policy
from tests.gateway.test_config import compare

SETTINGS = GatewaySettings(run_folder=Path("/run/ingot"), data_folder=Path("/data/gateway"))


def target(name: str, **changes: object) -> Target:
    values = {
        "id": name,
        "socket": f"/run/ingot/fn/{name}.sock",
        "organization": "org_acme",
        "project": "prj_shop",
        "function": "fn_orders",
        "version": f"ver_{name}",
        "maxconn": 4,
        "timeout_ms": 30_000,
        "memory_mb": 256,
    }
    return Target(**(values | changes))  # type: ignore[arg-type]


def split_state(*percents: int) -> GatewayState:
    targets = tuple(target(f"t{number}") for number in range(len(percents)))
    shares = tuple(Share(each.id, percent) for each, percent in zip(targets, percents, strict=True))
    return GatewayState(
        1, targets, (Route("acme/orders", "fn_orders", shares),), (policy(),), (caller_key(),)
    )


def maps_of(state: GatewayState) -> Maps:
    servers, _ = assign_slots(state.targets, {}, 256)
    return make_maps(state, {server.target: slot for slot, server in servers.items()})


def longest_prefix(entries: dict[str, str], text: str) -> str:
    return entries[max((key for key in entries if text.startswith(key)), key=len)]


def test_the_maps_are_the_golden_ones() -> None:
    state = GatewayState(
        epoch=1,
        targets=(target("t1"), target("t2", streaming=True)),
        routes=(
            Route("acme/orders", "fn_orders", (Share("t1", 93), Share("t2", 7))),
            Route("acme/orders@2", "fn_orders", (Share("t2", 100),)),
        ),
        policies=(policy(rate_10s=5, cors=Cors(("https://app.example",))), policy("fn_open", public=True)),
        keys=(
            caller_key(),
            caller_key("other", scopes=("fn_orders", "prj_x"), concurrency=2, expires_at=9),
            caller_key("near", modes=("sync", "async"), networks=("10.1.0.0/16", "2001:db8::/47")),
        ),
    )
    text = "".join(f"# {name}\n{encode_map(entries)}" for name, entries in maps_of(state).items())
    compare("maps.txt", text)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=5).filter(lambda cuts: sum(cuts) > 0))
def test_each_of_the_hundred_numbers_falls_where_the_percents_say(cuts: list[int]) -> None:
    percents = [cut * 100 // sum(cuts) for cut in cuts]
    percents[0] += 100 - sum(percents)
    maps = maps_of(split_state(*percents))
    route = maps["routes"]["*/acme/orders/"].split("|")[1]
    if route.startswith("S"):
        assert max(percents) == 100
        return
    drawn = [longest_prefix(maps["weights"], f"{route}:{number}") for number in range(100, 200)]
    seen = Counter(maps["splits"][split].split("|")[1] for split in drawn)
    assert seen == {f"t{number}": percent for number, percent in enumerate(percents) if percent}


def test_ninety_to_ten_takes_ten_entries() -> None:
    assert len(maps_of(split_state(90, 10))["weights"]) == 10
    assert len(maps_of(split_state(95, 5))["weights"]) == 19


@pytest.mark.parametrize(
    "state",
    [
        split_state(50, 40),
        split_state(-10, 110),
        dataclasses.replace(split_state(100), policies=()),
        dataclasses.replace(split_state(100), targets=(target("t0", socket="relative.sock"),)),
        dataclasses.replace(split_state(100), targets=(target("t0", socket="/a b"),)),
        dataclasses.replace(split_state(100), targets=(target("t0", socket="/a;b"),)),
        dataclasses.replace(split_state(100), targets=(target("t0", socket="/" + "x" * 100),)),
        dataclasses.replace(split_state(100), targets=(target("t0"), target("t0 ; shutdown"))),
        dataclasses.replace(split_state(100), targets=(target("t0", version="a|b"),)),
        dataclasses.replace(split_state(100), keys=(caller_key(key="a\nb"),)),
        dataclasses.replace(split_state(100), keys=(caller_key(sha256="ABC"),)),
        dataclasses.replace(split_state(100), keys=(caller_key(scopes=("a b",)),)),
        dataclasses.replace(split_state(100), keys=(caller_key(modes=("a b",)),)),
        dataclasses.replace(split_state(100), keys=(caller_key(networks=("10.0.0.1/8",)),)),
        dataclasses.replace(split_state(100), keys=(caller_key(networks=("anywhere",)),)),
        dataclasses.replace(split_state(100), policies=(policy(cors=Cors(("https://a b",))),)),
        dataclasses.replace(split_state(100), policies=(policy(cors=Cors(("null",))),)),
        dataclasses.replace(split_state(100), policies=(policy(organization=""),)),
        dataclasses.replace(
            split_state(100), routes=(Route("acme/orders x", "fn_orders", (Share("t0", 100),)),)
        ),
        dataclasses.replace(split_state(100), routes=(Route("orders", "fn_orders", (Share("t0", 100),)),)),
    ],
)
def test_what_could_end_an_entry_or_a_command_early_is_refused(state: GatewayState) -> None:
    with pytest.raises(Invalid):
        maps_of(state)


def test_revocations_come_first_and_routes_last() -> None:
    before = split_state(100)
    after = GatewayState(
        2,
        (target("t9"),),
        (Route("acme/orders", "fn_orders", (Share("t9", 100),)),),
        (policy(), policy("fn_new")),
        (caller_key("new"),),
    )
    servers, _ = assign_slots(before.targets, {}, 4)
    wanted, _ = assign_slots(after.targets, servers, 4)
    live_maps = make_maps(before, {"t0": 0})
    maps = make_maps(after, {server.target: slot for slot, server in wanted.items()})
    plan = plan_change(SETTINGS, (live_maps, servers), (maps, wanted))
    verbs = [command.text.split(" <<")[0].split(" /")[0] for command in plan.commands]
    files = [command.text.split("/data/gateway/")[-1].split(".map")[0] for command in plan.commands]
    assert files[0] == "keys"
    assert verbs[0] == "del map"
    assert verbs[1].startswith("add server s1/t9 unix@")
    assert verbs[2].startswith("enable server s1")
    assert files[3:] == ["splits", "policies", "keys", "routes"]
    assert verbs[-1] == "set map"
    assert plan.stale_slots == (0,)
    assert [name for name, _ in plan.stale_entries] == ["splits"]
    assert not plan.reload


def obey(maps: Maps, servers: dict[int, str], command: Command) -> None:
    """A model of the runtime socket: what HAProxy would hold after a command."""
    words = command.text.split()
    if words[0] == "add" and words[1] == "server":
        slot, _, name = words[2].removeprefix("s").partition("/")
        assert int(slot) not in servers
        servers[int(slot)] = name
        return
    if words[1] != "map":
        return
    entries = maps[words[2].removeprefix("/data/gateway/").removesuffix(".map")]
    if words[0] == "add":
        for line in command.text.splitlines()[1:]:
            key, _, value = line.partition(" ")
            assert key not in entries, "a second entry of the same key would be a duplicate"
            entries[key] = value
    elif words[0] == "set":
        assert words[3] in entries
        entries[words[3]] = words[4]
    else:
        del entries[words[3]]


@st.composite
def states(draw: st.DrawFn) -> GatewayState:
    names = draw(st.lists(st.sampled_from([f"t{n}" for n in range(6)]), min_size=1, unique=True))
    targets = tuple(target(name, timeout_ms=draw(st.sampled_from([1_000, 2_000]))) for name in names)
    routes = []
    for path in draw(st.lists(st.sampled_from(["a/b", "a/c", "a/b@1"]), unique=True)):
        first, second = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        percent = draw(st.integers(0, 100))
        shares = (Share(first, percent), Share(second, 100 - percent))
        routes.append(Route(path, "fn_orders", shares))
    keys = draw(st.lists(st.sampled_from(["k1", "k2", "k3"]), unique=True))
    scopes = draw(st.sampled_from([(), ("fn_orders",), ("fn_orders", "prj_shop")]))
    networks = draw(st.sampled_from([(), ("10.0.0.0/9",), ("10.0.0.0/8", "::1/128")]))
    modes = draw(st.sampled_from([(), ("sync",), ("sync", "stream")]))
    public = draw(st.booleans())
    return GatewayState(
        1,
        targets,
        tuple(routes),
        (policy(public=public, cors=Cors(draw(st.sampled_from([(), ("*",)])))),),
        tuple(caller_key(key, scopes=scopes, networks=networks, modes=modes) for key in keys),
    )


@given(st.lists(states(), min_size=1, max_size=5))
def test_any_series_of_changes_converges_and_never_leads_nowhere(series: list[GatewayState]) -> None:
    held: Maps = {name: {} for name in maps_of(series[0])}
    names: dict[int, str] = {}
    live_maps: Maps = {name: {} for name in held}
    live_servers: dict[int, SlotServer] = {}
    count = 4
    for state in series:
        wanted, count = assign_slots(state.targets, live_servers, count)
        maps = make_maps(state, {server.target: slot for slot, server in wanted.items()})
        plan = plan_change(SETTINGS, (live_maps, live_servers), (maps, wanted))
        for command in plan.commands:
            obey(held, names, command)
            for value in held["routes"].values():
                function, _, where = value.partition("|")
                assert function in held["policies"]
                splits = (
                    [where]
                    if where.startswith("S")
                    else [longest_prefix(held["weights"], f"{where}:{number}") for number in (100, 150, 199)]
                )
                for split in splits:
                    slot, name = held["splits"][split].split("|")[:2]
                    assert names[int(slot[1:])] == name
        late = {name: {**live_maps[name], **maps[name]} for name in ("splits", "weights")}
        assert held == maps | late
        live_maps = {name: dict(entries) for name, entries in held.items()}
        live_servers = {**live_servers, **wanted}


@given(
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)),
    st.integers(0, 128),
    st.one_of(st.none(), st.ip_addresses(v=4), st.ip_addresses(v=6)),
    st.data(),
)
def test_an_address_is_found_exactly_when_a_network_holds_it(
    inside: IPv4Address | IPv6Address,
    length: int,
    other: IPv4Address | IPv6Address | None,
    data: st.DataObject,
) -> None:
    length = min(length, inside.max_prefixlen)
    network = ip_network((inside, length), strict=False)
    if other is None:
        # A neighbour that differs in one bit only, which is where an error would be.
        flipped = 1 << data.draw(st.integers(0, inside.max_prefixlen - 1))
        other = ip_address((int(inside) ^ flipped).to_bytes(inside.max_prefixlen // 8, "big"))
    held = set(address_keys("key_1", str(network)))
    assert len(held) <= 16

    def found(address: IPv4Address | IPv6Address, key: str = "key_1") -> bool:
        digits = address.packed.hex().upper()
        return any(f"{len(digits)}|{key}|{digits}".startswith(beginning) for beginning in held)

    assert found(inside)
    assert not found(inside, "key_2")
    mapped = IPv6Network("::ffff:0:0/96")
    if inside.version == 4:
        assert found(IPv6Address(int(mapped.network_address) + int(inside)))
    assert found(other) == (other in network or (network.version == 4 and _unmapped(other) in network))


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def test_large_changes_travel_in_pieces() -> None:
    keys = tuple(caller_key(str(number)) for number in range(2_000))
    after = dataclasses.replace(split_state(100), keys=keys)
    before = dataclasses.replace(after, keys=())
    servers, _ = assign_slots(after.targets, {}, 4)
    plan = plan_change(
        SETTINGS, (make_maps(before, {"t0": 0}), servers), (make_maps(after, {"t0": 0}), servers)
    )
    assert len(plan.commands) > 10
    assert all(len(command.text) < 21_000 for command in plan.commands)
    assert sum(command.text.count("\n") - 1 for command in plan.commands) == 2_000


def test_slots_are_sticky_and_the_lowest_free_one_is_next() -> None:
    first, count = assign_slots([target("t1"), target("t2"), target("t3")], {}, 4)
    assert {slot: server.target for slot, server in first.items()} == {0: "t1", 1: "t2", 2: "t3"}
    kept, count = assign_slots([target("t9"), target("t3")], {0: first[0], 2: first[2]}, count)
    assert {slot: server.target for slot, server in kept.items()} == {1: "t9", 2: "t3"}
    many, count = assign_slots([target(f"t{n}") for n in range(9)], {}, 4)
    assert (len(many), count) == (9, 16)


@given(st.dictionaries(st.integers(0, 50), st.integers(1, 9), max_size=5))
def test_servers_are_read_back_as_written(wanted: dict[int, int]) -> None:
    servers = {
        slot: SlotServer(f"t{slot}", f"/run/t{slot}.sock", maxconn) for slot, maxconn in wanted.items()
    }
    assert decode_servers(encode_servers(64, servers)) == (64, servers)


@pytest.mark.parametrize("text", ["", "{}", '{"format":2}', '{"format":1,"slots":4,"servers":{"x":{}}}'])
def test_damaged_servers_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode_servers(text)
