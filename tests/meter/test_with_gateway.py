"""A real gateway and a real meter: what callers did is what was counted, and no meter means no calls."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.domain.desired import Route, Share
from tests.gateway.harness import Request, World, a_world, policy
from tests.meter.lines import exit_line
from tests.meter.process import MeterProcess, wait_until


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("g")) as made:
        made.start()
        yield made


@pytest.fixture
def meter(world: World) -> Iterator[MeterProcess]:
    process = MeterProcess(world.folder, run="r", lease_s=2)
    process.start()
    yield process
    process.close()


def stream_chunks(_: Request, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    connection.sendall(b"5\r\nhello\r\n0\r\n\r\n")


def hang_up(_: Request, connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def release(world: World) -> None:
    """Release a plain function, a streaming one and one that breaks off."""
    world.toy("t1")
    world.toy("t2", stream_chunks)
    world.toy("t3", hang_up)
    names = {"t1": "orders", "t2": "feed", "t3": "broken"}
    targets = [
        world.target(each, function=f"fn_{name}", streaming=each == "t2") for each, name in names.items()
    ]
    routes = tuple(Route(f"acme/{name}", f"fn_{name}", (Share(each, 100),)) for each, name in names.items())
    policies = tuple(policy(f"fn_{name}") for name in names.values())
    world.gateway.apply(world.state(*targets, routes=routes, policies=policies))


def outcomes(meter: MeterProcess) -> dict[str, int]:
    return dict(meter.query("SELECT outcome, sum(calls) FROM usage_hourly GROUP BY outcome"))  # type: ignore[arg-type]


def test_what_callers_did_is_counted(world: World, meter: MeterProcess) -> None:
    release(world)
    replies = [world.call() for _ in range(20)]
    replies += [world.call("/acme/feed") for _ in range(5)]
    replies += [world.call(key=None), world.call("/acme/nothing"), world.call("/acme/broken")]
    assert [reply.status for reply in replies] == [200] * 25 + [401, 404, 502]
    wait_until(lambda: meter.counted() == 28)
    wait_until(lambda: meter.query("SELECT count(*) FROM usage_events WHERE stream = 'ended'") == [(5,)])
    assert outcomes(meter) == {"answered": 25, "refused": 2, "unavailable": 1}
    assert meter.query("SELECT count(*) FROM log_rejects") == [(0,)]
    assert meter.query("SELECT count(*) FROM usage_events WHERE billed_ms > 0") == [(25,)]
    ids = {reply.header("x-ingot-usage-id") for reply in replies}
    assert {str(row[0]) for row in meter.query("SELECT id FROM usage_events")} == ids


def test_the_hosts_word_turns_a_broken_call_into_its_authors(world: World, meter: MeterProcess) -> None:
    release(world)
    reply = world.call("/acme/broken")
    assert reply.status == 502
    wait_until(lambda: outcomes(meter) == {"unavailable": 1})
    died = exit_line(
        "i1", target="t3", version="ver_t3", reason="crashed", at_ms=at_ms(reply.header("x-ingot-usage-id"))
    )
    (Path(meter.settings.data) / "host" / "records.log").write_bytes(died)
    wait_until(lambda: outcomes(meter) == {"failed": 1})


def at_ms(usage_id: str | None) -> int:
    assert usage_id
    return int(usage_id.partition("-")[0]) + 100


def test_without_a_meter_no_call_is_answered_and_with_it_again(world: World, meter: MeterProcess) -> None:
    release(world)
    assert world.call().status == 200
    meter.end(signal.SIGKILL)
    wait_until(lambda: world.call().status == 503)
    assert world.call().code == "metering_lapsed"
    meter.start()
    assert world.call().status == 200
    calls = len(world.records())
    assert meter.end(signal.SIGTERM) == 0
    assert meter.counted() == calls


def test_a_meter_that_restarts_quickly_is_not_noticed(world: World, meter: MeterProcess) -> None:
    meter.end(signal.SIGTERM)
    meter = replace_lease(meter)
    release(world)
    meter.start()
    for _ in range(3):
        assert meter.end(signal.SIGTERM) == 0
        assert world.call().status == 200
        meter.start()
        assert world.call().status == 200
    meter.close()


def replace_lease(meter: MeterProcess) -> MeterProcess:
    """Use the lease that Ingot has by default."""
    meter.config.write_text(replace(meter.settings, metering=type(meter.settings.metering)()).document())
    return meter
