"""What must survive: kills, restarts, reloads, releases and revocations, with a real HAProxy."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from control_plane.adapters.gateway.access_log import AccessRecord, EndRecord
from control_plane.domain.desired import Route, Share
from control_plane.errors import Invalid
from tests.gateway.harness import (
    SECRET,
    HandClock,
    Request,
    World,
    a_world,
    caller_key,
    open_websocket,
    policy,
    read_reply,
    read_reply_head,
    say,
    until,
    websocket,
)


class Load:
    """Callers that never stop and never retry; half of them keep their connection."""

    def __init__(self, world: World, callers: int = 4) -> None:
        self.world = world
        self.answers: Counter[str] = Counter()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number % 2 == 0,), daemon=True)
            for number in range(callers)
        ]

    def _run(self, keep: bool) -> None:
        raw = f"POST /acme/orders HTTP/1.1\r\nHost: x\r\nX-Api-Key: {SECRET}\r\nContent-Length: 2\r\n\r\n{{}}"
        connection = self.world.connect()
        while not self._ended.is_set():
            try:
                connection.sendall(raw.encode())
                reply = read_reply(connection)
                self.answers[f"{reply.status} {reply.body.decode()[:80]}"] += 1
                closing = (reply.header("connection") or "").lower() == "close"
            except OSError as error:
                self.answers[repr(error)] += 1
                closing = True
            if closing or not keep:
                connection.close()
                connection = self.world.connect()
        connection.close()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(20)


def waiting(world: World) -> int:
    """Return how many calls wait in slot 0."""
    rows = world.gateway._admin.ask("show stat s0 2 -1").splitlines()
    return int(next(row for row in rows if row.startswith("s0,BACKEND,")).split(",")[2])


def progress(load: Load, calls: int) -> None:
    """Wait until so many more calls were answered."""
    seen = load.answers.total()
    until(lambda: load.answers.total() > seen + calls)


def test_the_first_state_waits_for_a_start(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.toy("t1")
        change = world.gateway.apply(world.state(world.target("t1")))
        assert (change.commands, change.reloaded) == (0, False)
        world.start()
        assert world.call().status == 200


def test_an_unchanged_state_sends_nothing(world: World) -> None:
    state = world.state(world.target("t1"))
    assert world.gateway.apply(state).commands > 0
    files = {path: path.stat().st_mtime_ns for path in world.settings.data_folder.iterdir()}
    again = world.gateway.apply(state)
    assert (again.commands, again.reloaded) == (0, False)
    assert {path: path.stat().st_mtime_ns for path in world.settings.data_folder.iterdir()} == files


def test_a_new_adapter_finds_what_the_old_one_applied(world: World) -> None:
    state = world.state(world.target("t1"), world.target("t2"))
    world.gateway.apply(state)
    heir = type(world.gateway)(world.settings, HandClock())
    again = heir.apply(state)
    assert (again.commands, again.reloaded) == (0, False)


def test_a_change_cut_in_the_middle_is_loaded_as_a_whole(world: World) -> None:
    world.toy("t1")
    state = world.state(world.target("t1"))
    world.gateway.apply(state)
    world.settings.changing_file.touch()
    assert type(world.gateway)(world.settings, HandClock()).apply(state).reloaded
    assert not world.settings.changing_file.exists()
    assert world.call().status == 200


def test_a_disagreement_ends_in_a_reload(world: World) -> None:
    world.toy("t1")
    world.gateway.apply(world.state(world.target("t1"), keys=()))
    world.gateway._admin.ask(f"clear map {world.settings.map_file('routes')}")
    world.gateway._admin.ask(f"add map {world.settings.map_file('policies')} fn_orders broken")
    changed = world.state(world.target("t1", timeout_ms=9_000))
    assert world.gateway.apply(changed).reloaded
    assert world.call().status == 200


def test_a_kill_keeps_listeners_servers_and_keys(world: World) -> None:
    world.toy("t1")
    world.gateway.apply(world.state(world.target("t1")))
    worker = int(world.gateway._admin.process())
    os.kill(worker, signal.SIGKILL)
    assert world.process is not None
    world.process.wait(10)
    with world.connect() as connection:
        connection.sendall(f"GET /acme/orders HTTP/1.1\r\nHost: x\r\nX-Api-Key: {SECRET}\r\n\r\n".encode())
        world.start()
        assert read_reply(connection).status == 200
    assert world.gateway.apply(world.state(world.target("t1"))).commands == 0


def test_a_master_killed_leaves_no_worker(world: World) -> None:
    worker = int(world.gateway._admin.process())
    world.stop(signal.SIGKILL)

    def gone() -> bool:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{worker}/stat").read_text().split()[2] == "Z"

    until(gone)


def test_releases_under_load_fail_no_call(world: World) -> None:
    world.toy("t1", say(b"one"))
    world.toy("t2", say(b"two"))
    first, second = world.target("t1", maxconn=8), world.target("t2", maxconn=8)
    world.gateway.apply(world.state(first))
    with Load(world) as load:
        for turn in range(30):
            here, there = (first, second) if turn % 2 else (second, first)
            world.gateway.apply(world.state(here))
            if turn % 3 == 0:
                split = (Share(here.id, 90), Share(there.id, 10))
                routes = (Route("acme/orders", "fn_orders", split),)
                world.gateway.apply(world.state(here, there, routes=routes))
            world.clock.now += 6_000
            progress(load, 5)
    bad = {answer: count for answer, count in load.answers.items() if answer not in {"200 one", "200 two"}}
    assert not bad
    assert load.answers["200 one"] > 50
    assert load.answers["200 two"] > 50


def test_reloads_under_load_drop_no_connection(world: World) -> None:
    world.toy("t1")
    world.gateway.apply(world.state(world.target("t1", maxconn=8)))
    with Load(world) as load:
        for _ in range(6):
            world.gateway._reload()
            progress(load, 50)
    bad = {answer: count for answer, count in load.answers.items() if answer != "200 ok"}
    assert not bad
    assert load.answers["200 ok"] > 300
    # Not one line was lost and HAProxy added none of its own.
    world.stop()
    assert Counter(record.status for record in world.records()) == {200: load.answers["200 ok"]}


def test_a_replaced_server_goes_only_when_nobody_uses_it(world: World) -> None:
    world.toy("told", websocket)
    world.toy("tnew")
    old, new = world.target("told", streaming=True), world.target("tnew")
    world.gateway.apply(world.state(old))
    with open_websocket(world, "/acme/orders", f"ingot.key.{SECRET}") as connection:
        assert read_reply_head(connection).status == 101
        state = world.state(new)
        assert world.gateway.apply(state).lingering == ("told",)
        world.clock.now += world.settings.grace_ms
        assert world.gateway.apply(state).lingering == ("told",)
        connection.sendall(b"still there")
        assert connection.recv(100) == b"still there"
    until(lambda: world.gateway.apply(state).lingering == ())
    assert "told" not in world.gateway._admin.ask("show servers state")
    assert "told" not in world.settings.slots_file.read_text()


def test_a_freed_slot_is_used_again_and_slots_double_by_a_reload(tmp_path: Path) -> None:
    with a_world(tmp_path, first_slots=2) as world:
        world.start()
        world.gateway.apply(world.state(world.target("t1"), world.target("t2")))
        world.gateway.apply(world.state(world.target("t1")))
        world.clock.now += world.settings.grace_ms
        world.gateway.apply(world.state(world.target("t1")))
        third = world.state(world.target("t1"), world.target("t3"))
        assert not world.gateway.apply(third).reloaded
        world.toy("t4")
        four = [world.target(name) for name in ("t4", "t1", "t3")]
        assert world.gateway.apply(world.state(*four)).reloaded
        assert world.call().status == 200


def test_a_target_keeps_its_slot_and_takes_a_new_maxconn(world: World) -> None:
    world.toy("t1")
    world.gateway.apply(world.state(world.target("t1", maxconn=1)))
    change = world.gateway.apply(world.state(world.target("t1", maxconn=3)))
    assert (change.commands, change.reloaded) == (1, False)
    line = next(line for line in world.gateway._admin.ask("show stat s0 4 -1").splitlines() if "t1" in line)
    assert line.split(",")[6] == "3"


def test_a_state_that_does_not_fit_together_changes_nothing(world: World) -> None:
    world.toy("t1")
    world.gateway.apply(world.state(world.target("t1")))
    broken = world.state(world.target("t1"), routes=(Route("acme/orders", "fn_orders", (Share("t9", 100),)),))
    with pytest.raises(Invalid):
        world.gateway.apply(broken)
    assert world.call().status == 200
    assert world.gateway.apply(world.state(world.target("t1"))).commands == 0


def test_a_revoked_key_is_dead_everywhere_within_two_seconds(world: World) -> None:
    world.toy("t1", websocket)
    other = caller_key("another")
    target = world.target("t1", streaming=True, maxconn=20)
    world.gateway.apply(world.state(target, keys=(caller_key(), other)))
    with contextlib.ExitStack() as opened:

        def websocket_of(secret: str) -> object:
            connection = opened.enter_context(open_websocket(world, "/acme/orders", f"ingot.key.{secret}"))
            assert read_reply_head(connection).status == 101
            return connection

        draining = websocket_of(SECRET)
        spared = websocket_of("another")
        world.gateway._reload()
        serving = websocket_of(SECRET)
        assert [worker.draining for worker in world.gateway._master.workers()] == [False, True]
        started = time.monotonic()
        world.gateway.apply(world.state(target, keys=(other,)))
        assert world.gateway.cut(caller_key().key) == 2
        assert draining.recv(100) == b""  # type: ignore[attr-defined]
        assert serving.recv(100) == b""  # type: ignore[attr-defined]
        assert world.call().code == "key_unknown"
        assert time.monotonic() - started < 2
        spared.sendall(b"still there")  # type: ignore[attr-defined]
        assert spared.recv(100) == b"still there"  # type: ignore[attr-defined]
        assert SECRET not in world.settings.map_file("keys").read_text()
        assert caller_key().sha256 not in world.settings.map_file("keys").read_text()


def test_a_draining_worker_serves_its_old_version_but_no_revoked_key(tmp_path: Path) -> None:
    with a_world(tmp_path, first_slots=2) as world:
        world.start()
        world.toy("t1", say(b"one"))
        world.toy("t2", say(b"two"))
        other = caller_key("another")
        world.gateway.apply(world.state(world.target("t1"), keys=(caller_key(), other)))
        raw = "GET /acme/orders HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\n\r\n"
        with world.connect() as first, world.connect() as second:
            for connection in (first, second):
                connection.sendall((raw % SECRET).encode())
                assert read_reply(connection).body == b"one"
            # More slots than the draining worker has, and a revocation in the same change.
            many = [world.target(name) for name in ("t2", "t3", "t4")]
            after = world.state(*many, keys=(other,))
            assert world.gateway.apply(after).reloaded
            assert world.call(key="another").body == b"two"
            first.sendall((raw % SECRET).encode())
            assert read_reply(first).code == "key_unknown"
            world.clock.now += world.settings.grace_ms
            assert world.gateway.apply(after).lingering == ("t1",)
            second.sendall((raw % "another").encode())
            assert read_reply(second).body == b"one"
        world.clock.now += world.settings.idle_timeout_ms
        world.gateway.apply(after)
        assert world.gateway.apply(after).lingering == ()


def test_a_key_revoked_while_its_body_comes_is_refused(world: World) -> None:
    world.toy("t1")
    world.gateway.apply(world.state(world.target("t1")))
    with world.connect() as connection:
        head = f"POST /acme/orders HTTP/1.1\r\nHost: x\r\nX-Api-Key: {SECRET}\r\nContent-Length: 2\r\n\r\n"
        connection.sendall(head.encode() + b"a")
        until(lambda: "fe=functions" in world.gateway._admin.ask("show sess"))
        world.gateway.apply(world.state(world.target("t1"), keys=()))
        connection.sendall(b"b")
        assert read_reply(connection).code == "key_unknown"
    assert not world.toys["t1"].requests


def test_cutting_a_target_ends_its_calls(world: World) -> None:
    world.toy("t1", websocket)
    world.gateway.apply(world.state(world.target("t1", streaming=True)))
    with open_websocket(world, "/acme/orders", f"ingot.key.{SECRET}") as connection:
        assert read_reply_head(connection).status == 101
        assert world.gateway.cut("t1") == 1
        assert connection.recv(100) == b""
    until(lambda: any(isinstance(record, EndRecord) for record in world.records()))


def test_nothing_is_cut_when_nothing_runs(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        assert world.gateway.cut("t1") == 0


def test_a_caller_who_hangs_up_in_the_queue_is_not_executed(world: World) -> None:
    gate = threading.Event()
    toy = world.toy("t1", lambda request, connection: (gate.wait(10), say()(request, connection))[1])
    world.gateway.apply(world.state(world.target("t1", maxconn=1)))
    raw = f"GET /acme/orders/%s HTTP/1.1\r\nHost: x\r\nX-Api-Key: {SECRET}\r\n\r\n"
    with world.connect() as first:
        first.sendall((raw % "first").encode())
        until(lambda: len(toy.requests) == 1)
        with world.connect() as second:
            second.sendall((raw % "second").encode())
            until(lambda: waiting(world) == 1)
        until(lambda: waiting(world) == 0)
        gate.set()
        assert read_reply(first).status == 200
    until(lambda: len(world.records()) == 2)
    assert [request.line.split()[1] for request in toy.requests] == ["/first"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_caller_who_hangs_up_during_its_call_was_not_refused(world: World, streaming: bool) -> None:
    def wait_for_the_end(_: Request, connection: socket.socket) -> None:
        connection.recv(1)

    toy = world.toy("t1", wait_for_the_end)
    world.gateway.apply(world.state(world.target("t1", streaming=streaming)))
    with world.connect() as connection:
        connection.sendall(f"GET /acme/orders HTTP/1.1\r\nHost: x\r\nX-Api-Key: {SECRET}\r\n\r\n".encode())
        until(lambda: len(toy.requests) == 1)
    until(lambda: any(isinstance(record, AccessRecord) for record in world.records()))
    record = next(record for record in world.records() if isinstance(record, AccessRecord))
    assert (record.why, record.target, record.response_ms) == ("", "t1", -1)
    assert record.termination.startswith("C")
    assert record.connect_ms >= 0


def test_a_waiting_call_is_served_when_a_place_gets_free(world: World) -> None:
    gate = threading.Event()
    toy = world.toy("t1", lambda request, connection: (gate.wait(10), say()(request, connection))[1])
    world.gateway.apply(world.state(world.target("t1", maxconn=1)))
    replies: list[int] = []
    callers = [threading.Thread(target=lambda: replies.append(world.call().status)) for _ in range(3)]
    for caller in callers:
        caller.start()
    until(lambda: waiting(world) == 2)
    assert len(toy.requests) == 1
    gate.set()
    for caller in callers:
        caller.join(10)
    assert replies == [200, 200, 200]


def test_a_queue_over_its_limit_refuses_at_once(tmp_path: Path) -> None:
    with a_world(tmp_path, longest_queue=1) as world:
        world.start()
        gate = threading.Event()
        world.toy("t1", lambda request, connection: (gate.wait(10), say()(request, connection))[1])
        world.gateway.apply(world.state(world.target("t1", maxconn=1)))
        callers = [threading.Thread(target=world.call) for _ in range(2)]
        for caller in callers:
            caller.start()
        until(lambda: waiting(world) == 1)
        reply = world.call()
        gate.set()
        for caller in callers:
            caller.join(10)
        assert (reply.status, reply.code) == (503, "queue_full")


def test_a_split_follows_its_weights(world: World) -> None:
    for name in ("t1", "t2"):
        world.toy(name, say(name.encode()))
    shares = (Share("t1", 90), Share("t2", 10))
    routes = (
        Route("acme/orders", "fn_orders", shares),
        Route("acme/orders@1", "fn_orders", (Share("t1", 100),)),
        Route("acme/orders@canary", "fn_orders", (Share("t2", 100),)),
    )
    state = world.state(world.target("t1"), world.target("t2"), routes=routes)
    world.gateway.apply(state)
    seen: Counter[bytes] = Counter()
    with world.connect() as connection:
        raw = f"GET /acme/orders HTTP/1.1\r\nHost: x\r\nX-Api-Key: {SECRET}\r\n\r\n".encode()
        for _ in range(2_000):
            connection.sendall(raw)
            seen[read_reply(connection).body] += 1
    # 2,000 draws at 10 %: mean 200, deviation 13.4; six deviations never happen.
    assert 120 <= seen[b"t2"] <= 280
    assert seen[b"t1"] + seen[b"t2"] == 2_000
    assert {world.call("/acme/orders@1/x").body for _ in range(30)} == {b"t1"}
    assert {world.call("/acme/orders@canary").body for _ in range(30)} == {b"t2"}


def test_the_console_reaches_api_and_streams(world: World) -> None:
    api = world.toy("api-0", say(b"api"), workers=2)
    world.toy("streams", say(b"streams"), workers=2)
    port = world.console.getsockname()[1]

    def console(path: str, body: bytes = b"") -> tuple[int, bytes]:
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Ingot-Key-Id: forged\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            reply = read_reply(connection)
        return reply.status, reply.body

    assert console("/api/v1/stream?topics=a") == (200, b"streams")
    assert console("/api/v1/streams") == (200, b"api")
    upload = os.urandom(3_000_000)
    assert console("/api/v1/documents", upload) == (200, b"api")
    assert api.requests[-1].body == upload
    assert api.requests[-1].header("x-ingot-key-id") is None
    api.close()
    status, body = console("/")
    problem = json.loads(body)
    assert (status, problem["status"], problem["code"]) == (503, 503, "unavailable")


def test_policies_apply_to_keys_in_use(world: World) -> None:
    world.toy("t1")
    world.gateway.apply(world.state(world.target("t1"), policies=(policy(public=True),)))
    assert world.call(key=None).status == 200
    world.gateway.apply(world.state(world.target("t1"), policies=(policy(),)))
    assert world.call(key=None).code == "key_missing"
    world.gateway.apply(world.state(world.target("t1"), keys=(caller_key(scopes=("fn_other",)),)))
    assert world.call().code == "key_scope"


@pytest.mark.slow
def test_each_answered_call_is_on_record_over_kills(world: World) -> None:
    toy = world.toy("t1")
    world.gateway.apply(world.state(world.target("t1", maxconn=8)))
    answered: list[str] = []
    ended = threading.Event()

    def call() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                reply = world.call()
                if reply.status == 200 and reply.body == b"ok":
                    answered.append(reply.header("x-ingot-usage-id") or "")

    callers = [threading.Thread(target=call, daemon=True) for _ in range(4)]
    for caller in callers:
        caller.start()
    for _ in range(15):
        seen = len(answered)
        until(lambda seen=seen: len(answered) > seen + 100)  # type: ignore[misc]
        os.kill(int(world.gateway._admin.process()), signal.SIGKILL)
        assert world.process is not None
        world.process.wait(10)
        world.start()
    ended.set()
    for caller in callers:
        caller.join(20)
    world.stop()
    counted = [record.id for record in world.records()]
    dispatched = {request.header("x-ingot-usage-id") for request in toy.requests}
    assert len(answered) > 1_500
    assert set(answered) <= set(counted)
    assert len(counted) == len(set(counted))
    assert {record.id for record in world.records() if record.status == 200} <= dispatched
