"""The server around the handler: slow and rude clients, drains, slots, concurrency, forks."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from ingot_shim.exchange import Patience

from .harness import Instance, parse, post_json, read_all, request, until

HELLO = "def execute(input, context):\n    return input\n"
ASYNC_HELLO = "async def execute(input, context):\n    return input\n"
BOTH = pytest.mark.parametrize("source", [HELLO, ASYNC_HELLO], ids=["sync", "async"])
QUICK = Patience(head=0.2, body=0.4, send=0.3)


@BOTH
@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", 400, "bad_request"),
        (b"GET /" + b"a" * 20_000, 414, "bad_request"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 80_000 + b"\r\n\r\n", 431, "bad_request"),
        (b"POST / HTTP/1.1\r\nContent-Length: 200\r\n\r\n" + b"a" * 200, 413, "body_too_large"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad_request"),
        (b"GET / HT", 408, "bad_request"),
        (b"", 408, "bad_request"),
        (b"POST / HTTP/1.1\r\nX-Request-Id: r9\r\nContent-Length: 20\r\n\r\nabc", 408, "bad_request"),
    ],
)
def test_refused_requests_are_answered(
    tmp_path: Path, source: str, data: bytes, status: int, code: str
) -> None:
    with Instance(tmp_path, source, patience=QUICK, body_limit=100) as instance:
        answer = instance.call(data)
        assert (answer.status, answer.json["code"], answer.json["fault"]) == (status, code, "caller")
        assert answer.json["request_id"] == ("r9" if b"r9" in data else "")
        assert instance.post(1).body == b"1"
        assert until(lambda: instance.slots()["served"] == 1, "the count")


@BOTH
def test_a_client_that_drips_bytes_is_cut_off(tmp_path: Path, source: str) -> None:
    with Instance(tmp_path, source, patience=QUICK) as instance, instance.connect() as connection:
        start = time.monotonic()
        connection.settimeout(0.02)
        answer = b""
        while time.monotonic() - start < 5 and not answer:
            try:
                connection.send(b"G")
                answer = connection.recv(1000)
            except TimeoutError:
                continue
            except BrokenPipeError:
                break
        assert time.monotonic() - start < 2


@BOTH
def test_expect_continue_and_slow_parts(tmp_path: Path, source: str) -> None:
    with Instance(tmp_path, source) as instance, instance.connect() as connection:
        head = b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        connection.sendall(head)
        connection.sendall(b"Content-Length: 4\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"12")
        busy = until(lambda: [slot for slot in instance.slots()["slots"] if slot[0]], "a busy slot")
        assert busy[0][3] > time.monotonic_ns() + 60e9
        connection.sendall(b"34")
        assert parse(read_all(connection)).body == b"1234"


@BOTH
def test_a_caller_who_hung_up_is_not_executed(tmp_path: Path, source: str) -> None:
    text = source.replace("return", "print('ran', input)\n    return")
    with Instance(tmp_path, text) as instance:
        os.kill(instance.pid, signal.SIGSTOP)
        connection = instance.connect()
        connection.sendall(post_json("gone"))
        connection.close()
        os.kill(instance.pid, signal.SIGCONT)
        assert instance.post("here").status == 200
        assert [item["m"] for item in instance.log()] == ["ran here"]


@BOTH
def test_a_half_closed_caller_gets_the_answer(tmp_path: Path, source: str) -> None:
    with Instance(tmp_path, source) as instance, instance.connect() as connection:
        connection.sendall(post_json(5))
        connection.shutdown(socket.SHUT_WR)
        assert parse(read_all(connection)).body == b"5"


@BOTH
def test_a_caller_who_does_not_read_cannot_hold_the_instance(tmp_path: Path, source: str) -> None:
    text = source.replace("return input", "return b'x' * 5_000_000 if input else 0")
    with Instance(tmp_path, text, patience=QUICK, limits={"timeout_ms": 150}) as instance:
        with instance.connect() as connection:
            connection.sendall(post_json(1))
            # Sending is the caller's time: the slot gets a deadline of its own for it.
            later = time.monotonic_ns() + 1_000_000_000
            until(lambda: any(slot[0] and slot[3] > later for slot in instance.slots()["slots"]), "sending")
            until(lambda: not any(slot[0] for slot in instance.slots()["slots"]), "the end of patience")
        assert instance.post(0).body == b"0"


@BOTH
def test_a_large_answer_arrives_whole(tmp_path: Path, source: str) -> None:
    text = source.replace("return input", "return bytes(range(256)) * 20_000")
    with Instance(tmp_path, text) as instance:
        answer = instance.post(1)
        assert answer.body == bytes(range(256)) * 20_000
        assert answer.headers["content-length"] == "5120000"


WAITING = """
import time
def execute(input, context):
    print("started", input)
    while not __import__("os").path.exists(input):
        time.sleep(0.002)
    return "done"
"""
ASYNC_WAITING = WAITING.replace("def execute", "async def execute").replace(
    "time.sleep(0.002)", "await __import__('asyncio').sleep(0.002)"
)


@pytest.mark.parametrize("source", [WAITING, ASYNC_WAITING], ids=["sync", "async"])
@pytest.mark.parametrize("how", ["byte", "signal"])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_drain_finishes_what_runs(tmp_path: Path, source: str, how: str, concurrency: int) -> None:
    with Instance(tmp_path, source, limits={"concurrency": concurrency}) as instance:
        with instance.connect() as running:
            running.sendall(post_json(str(tmp_path / "go")))
            until(lambda: any("started" in item["m"] for item in instance.log()), "the call's start")
            if how == "byte":
                instance.status.send(b"q")
            else:
                os.kill(instance.pid, signal.SIGTERM)
            if source is not WAITING or concurrency > 1:
                # A blocked main thread hears the byte only when its call has ended.
                until(lambda: instance.slots()["flags"] & 1, "the draining flag")
            with instance.connect() as late:
                late.sendall(post_json(str(tmp_path / "go")))
                (tmp_path / "go").touch()
                assert parse(read_all(running)).json == "done"
                assert instance.wait() == 0
                # The late connection stays in the queue of the listener for another instance.
                late.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    late.recv(1)
        assert instance.slots()["flags"] == 1
        assert instance.slots()["served"] == 1


@BOTH
def test_an_idle_instance_leaves_at_once(tmp_path: Path, source: str) -> None:
    with Instance(tmp_path, source) as instance:
        instance.quit()
        assert instance.exit == 0


@BOTH
def test_a_vanished_host_is_no_reason_to_leave(tmp_path: Path, source: str) -> None:
    with Instance(tmp_path, source) as instance:
        instance.status.close()
        assert instance.post(1).body == b"1"
        assert instance.post(2).body == b"2"
        os.kill(instance.pid, signal.SIGTERM)
        assert instance.wait() == 0


@BOTH
@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_dead_listener_ends_the_instance(tmp_path: Path, source: str, concurrency: int) -> None:
    with Instance(tmp_path, source, limits={"concurrency": concurrency}) as instance:
        instance.listener.shutdown(socket.SHUT_RDWR)
        assert instance.wait() == 0


@pytest.mark.parametrize("source", [WAITING, ASYNC_WAITING], ids=["sync", "async"])
def test_slots_show_what_runs(tmp_path: Path, source: str) -> None:
    limits = {"concurrency": 2, "timeout_ms": 7000}
    with Instance(tmp_path, source, limits=limits) as instance:
        table = instance.slots()
        assert (table["magic"], table["count"], table["served"], table["flags"]) == (0x696E676F, 16, 0, 0)
        with instance.connect() as first, instance.connect() as second:
            before = time.monotonic_ns()
            first.sendall(post_json(str(tmp_path / "go")))
            second.sendall(post_json(str(tmp_path / "go")))
            until(lambda: len(instance.log()) == 2, "both calls")
            busy = [slot for slot in instance.slots()["slots"] if slot[0] == 1]
            assert len(busy) == 2
            for _, sequence, start, deadline in busy:
                assert sequence == 1
                assert before <= start <= time.monotonic_ns()
                assert 0 <= deadline - start - 7_000_000_000 < 5_000_000
            (tmp_path / "go").touch()
            assert parse(read_all(first)).status == parse(read_all(second)).status == 200
        table = until(lambda: (t := instance.slots())["served"] == 2 and t, "the count")
        assert not any(slot[0] for slot in table["slots"])
        assert table["active"] >= before


@pytest.mark.parametrize("source", [WAITING, ASYNC_WAITING], ids=["sync", "async"])
def test_no_more_calls_run_than_slots(tmp_path: Path, source: str) -> None:
    with Instance(tmp_path, source, limits={"concurrency": 2}) as instance:
        connections = [instance.connect() for _ in range(5)]
        for connection in connections:
            connection.sendall(post_json(str(tmp_path / "go")))
        until(lambda: len(instance.log()) == 2, "two calls")
        (tmp_path / "go").touch()
        for connection in connections:
            assert parse(read_all(connection)).json == "done"
            connection.close()
        assert len(instance.log()) == 5


def test_too_small_a_slot_table_is_refused(tmp_path: Path) -> None:
    from ingot_shim.slots import SlotTable

    descriptor = os.memfd_create("slots")
    try:
        os.ftruncate(descriptor, 64 * 2)
        with pytest.raises(ValueError, match="room for 1 requests, 2 are needed"):
            SlotTable(descriptor, 2)
    finally:
        os.close(descriptor)


def test_instances_share_a_listener_and_have_random_numbers_of_their_own(tmp_path: Path) -> None:
    source = "import random\nrandom.seed(1)\ndef execute(input, context):\n    return random.random()\n"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Instance(tmp_path / "a", source) as one, Instance(tmp_path / "b", source) as two:
        assert one.post(1).json != two.post(1).json


def test_http_1_0_is_answered(tmp_path: Path) -> None:
    with Instance(tmp_path, HELLO) as instance:
        assert instance.call(b"GET / HTTP/1.0\r\n\r\n").body == b"null"


def test_a_listener_shared_by_two_instances_serves_every_call(tmp_path: Path) -> None:
    text = "import os\ndef execute(input, context):\n    return os.getpid()\n"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Instance(tmp_path / "a", text) as one:
        two = Instance(tmp_path / "b", text)
        two.listener.close()
        two.listener = one.listener.dup()
        with two:
            answers = [one.post(number) for number in range(100)]
            assert {answer.status for answer in answers} == {200}
            two.quit()
            assert {one.post(number).json for number in range(20)} == {one.pid}


def test_the_first_line_of_a_refusal_is_exact(tmp_path: Path) -> None:
    with Instance(tmp_path, HELLO) as instance:
        raw = instance.raw(request("GET", "/", content_length="x"))
        assert re.match(rb"HTTP/1\.1 400 Bad Request\r\nContent-Type: application/problem\+json\r\n", raw)
