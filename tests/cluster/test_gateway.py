"""Keys, limits, records and the lease in front of Knative: the rules of one machine, with real pods."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter

import pytest

from control_plane.adapters.gateway.access_log import AccessRecord, EndRecord
from tests.cluster.function_fixtures import images, operator, routed
from tests.cluster.gateway_fixtures import Closed, closed, state_of, world
from tests.gateway.harness import SECRET, World, caller_key, read_reply, until

__all__ = ["closed", "images", "operator", "routed", "world"]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300), pytest.mark.usefixtures("routed")]


def test_the_rules_of_one_machine_hold_in_front_of_pods(closed: Closed, world: World) -> None:
    # One function serves all, as each start of one takes the cluster seconds.
    _keys_and_records(closed, world)
    _rate(closed, world)
    _concurrency(closed, world)
    _body(closed, world)
    _lease(world)
    _cut(closed, world)


def _keys_and_records(closed: Closed, world: World) -> None:
    reply = world.call()
    assert reply.status == 200
    record = world.record_of(reply)
    assert (record.function, record.target, record.version) == (closed.function, "v1", "ver_v1")
    assert (record.why, record.mode, record.status) == ("", "sync", 200)
    assert record.active_ms >= 0
    refused = world.call(key=None)
    assert (refused.status, refused.code) == (401, "key_missing")
    assert refused.header("content-type") == "application/problem+json"
    assert json.loads(refused.body)["fault"] == "caller"
    assert world.record_of(refused).why == "key_missing"
    scoped = caller_key("ik_other", scopes=("fn_another",))
    world.gateway.apply(state_of(world, closed, keys=(caller_key(), scoped)))
    assert world.call(key="ik_other").code == "key_scope"
    world.gateway.apply(state_of(world, closed, keys=(caller_key(),)))
    assert world.call(key="ik_other").code == "key_unknown"


def _rate(closed: Closed, world: World) -> None:
    world.gateway.apply(state_of(world, closed, keys=(caller_key(), caller_key("ik_slow", rate_10s=3))))
    answers = [world.call(key="ik_slow") for _ in range(5)]
    assert Counter(one.status for one in answers) == {200: 3, 429: 2}
    assert answers[-1].code == "rate_limited"
    assert int(answers[-1].header("retry-after") or 0) > 0
    # Other keys go on.
    assert world.call().status == 200
    world.gateway.apply(state_of(world, closed, rate_10s=2))
    assert {world.call().status for _ in range(4)} == {200, 429}
    world.gateway.apply(state_of(world, closed))


def _concurrency(closed: Closed, world: World) -> None:
    world.gateway.apply(state_of(world, closed, keys=(caller_key(concurrency=1),)))
    answers: list[int] = []
    kind = {"Content-Type": "application/json"}

    def wait() -> None:
        answers.append(world.call(headers=kind, body=b'{"wait": 2}').status)

    slow = threading.Thread(target=wait)
    slow.start()
    until(lambda: world.call().status == 429, 10)
    refused = world.call()
    assert (refused.status, refused.code) == (429, "concurrency_limited")
    slow.join(30)
    assert answers == [200]
    world.gateway.apply(state_of(world, closed))


def _body(closed: Closed, world: World) -> None:
    world.gateway.apply(state_of(world, closed, body_limit=100))
    refused = world.call(body=b" " * 101)
    assert (refused.status, refused.code) == (413, "body_too_large")
    world.gateway.apply(state_of(world, closed))


def _lease(world: World) -> None:
    world.gateway.renew_lease(int(time.time()) - 1)
    refused = world.call()
    assert (refused.status, refused.code) == (503, "metering_lapsed")
    world.gateway.renew_lease(int(time.time()) + 100_000)
    assert world.call().status == 200


def _cut(closed: Closed, world: World) -> None:
    """A stream that is open when its key is revoked ends, and its end is on record."""
    doomed = caller_key("ik_doomed")
    world.gateway.apply(state_of(world, closed, keys=(caller_key(), doomed), streaming=True))
    body = b'{"stream": true}'
    with world.connect() as connection:
        head = f"POST /acme/orders HTTP/1.1\r\nHost: x\r\nX-Api-Key: ik_doomed\r\nContent-Length: {len(body)}"
        connection.sendall(f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body)
        seen = connection.recv(65_536)
        assert seen.startswith(b"HTTP/1.1 200"), seen
        until(lambda: b"tick" in connection.recv(65_536), 20)
        began = time.monotonic()
        world.gateway.apply(state_of(world, closed, keys=(caller_key(),), streaming=True))
        assert world.gateway.cut(doomed.key) == 1
        connection.settimeout(5)
        while connection.recv(65_536):
            assert time.monotonic() - began < 2
    started = [one for one in world.records() if isinstance(one, AccessRecord) and one.key == doomed.key]
    assert [one.mode for one in started] == ["stream"]

    def ended() -> bool:
        return any(isinstance(one, EndRecord) and one.id == started[0].id for one in world.records())

    until(ended, 10)
    assert world.call(key="ik_doomed").code == "key_unknown"
    with world.connect() as connection:
        connection.sendall(
            f"POST /acme/orders HTTP/1.1\r\nHost: x\r\nX-Api-Key: {SECRET}\r\nContent-Length: 2\r\n"
            "Content-Type: application/json\r\n\r\n{}".encode()
        )
        assert read_reply(connection).status == 200
