"""Keys that are bound to networks and modes, and keys with two secrets, through a real HAProxy."""

from __future__ import annotations

import dataclasses
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.domain.desired import CallerKey
from tests.gateway.harness import Reply, World, a_world, caller_key, read_reply


@pytest.fixture
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway whose functions' origin takes IPv4 and IPv6 callers on one socket."""
    folder: Path = tmp_path_factory.mktemp("g")
    with a_world(folder) as made, socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listener.bind(("::", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        listener.listen(64)
        made.functions.close()
        made.functions = listener
        made.start()
        yield made


def call_from(world: World, address: str, key: str) -> Reply:
    with socket.create_connection((address, world.port), 20) as connection:
        connection.sendall(f"GET /acme/orders HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\n\r\n".encode())
        return read_reply(connection)


@pytest.mark.parametrize(
    ("networks", "through"),
    [
        (("127.0.0.0/8",), {"127.0.0.1"}),
        (("::1/128",), {"::1"}),
        (("::/0",), {"::1", "127.0.0.1"}),
        (("0.0.0.0/0",), {"127.0.0.1"}),
        (("127.0.0.1/32", "::/127"), {"127.0.0.1", "::1"}),
        (("7f00::/8",), set()),
    ],
)
def test_a_key_is_good_from_its_networks_alone(
    both: World, networks: tuple[str, ...], through: set[str]
) -> None:
    both.toy("t1")
    both.gateway.apply(both.state(both.target("t1"), keys=(caller_key("bound", networks=networks),)))
    for address in ("127.0.0.1", "::1"):
        reply = call_from(both, address, "bound")
        if address in through:
            assert reply.status == 200, (address, reply.body)
        else:
            assert (reply.status, reply.code) == (403, "key_address"), address


def test_a_changed_list_counts_at_once_and_a_lifted_one_too(world: World) -> None:
    world.toy("t1")
    state = world.state(world.target("t1"), keys=(caller_key(),))

    def with_key(**changes: object) -> int:
        world.gateway.apply(dataclasses.replace(state, keys=(caller_key(**changes),)))  # type: ignore[arg-type]
        return world.call().status

    assert with_key(networks=("192.0.2.0/24",)) == 403
    assert with_key(networks=("192.0.2.0/24", "127.0.0.0/8")) == 200
    assert with_key(networks=("10.0.0.0/8",)) == 403
    assert with_key() == 200
    assert with_key(modes=("stream",)) == 403
    assert with_key(modes=("stream", "sync")) == 200
    assert with_key() == 200


def second_secret(secret: str, **changes: Any) -> CallerKey:
    """Return the same key's entry for another secret."""
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return dataclasses.replace(caller_key(), sha256=digest, **changes)


def test_two_secrets_of_one_key_are_one_caller(world: World) -> None:
    world.toy("t1")
    old = second_secret("old", expires_at=4_000_000_000, scopes=("fn_orders",))
    new = dataclasses.replace(caller_key(), scopes=("fn_orders",))
    state = world.state(world.target("t1"), keys=(old, new))
    world.gateway.apply(state)
    replies = [world.call(), world.call(key="old")]
    assert [reply.status for reply in replies] == [200, 200]
    assert {world.record_of(reply).key for reply in replies} == {caller_key().key}
    world.gateway.apply(dataclasses.replace(state, keys=(dataclasses.replace(old, expires_at=1_000), new)))
    assert [world.call(key="old").code, world.call().status] == ["key_expired", 200]
    world.gateway.apply(dataclasses.replace(state, keys=(new,)))
    assert [world.call(key="old").code, world.call().status] == ["key_unknown", 200]
