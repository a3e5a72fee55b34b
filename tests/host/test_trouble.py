"""The function host with real processes: everything that goes wrong in user code."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import pytest

from control_plane.domain.desired import HostTarget, Limits
from tests.support.function_host import HELLO, FunctionHost, until
from tests.support.rights import becomes_other_users, functions_need_an_open_interpreter


@pytest.fixture(scope="module")
def host() -> Iterator[FunctionHost]:
    with FunctionHost(overdue_grace_s=0.3, level2_delay_s=0.05) as running:
        yield running


def test_a_failed_import_is_answered_at_once_and_said(host: FunctionHost) -> None:
    target = host.target("raise RuntimeError('broken on purpose')\n")
    host.apply()
    began = time.monotonic()
    status, problem = host.call(target)
    assert time.monotonic() - began < 3
    assert (status, problem["code"], problem["fault"]) == (503, "import_failed", "author")
    found = host.status(target)
    assert found["state"] == "faulted"
    assert "broken on purpose" in found["reason"]
    assert found["retry_in_s"] > 0
    # While it backs off, nothing is started: the answer comes from the host.
    instances = len(host.records("exit"))
    assert host.call(target)[1]["code"] == "import_failed"
    assert len(host.records("exit")) == instances
    assert any("broken on purpose" in line["message"] for line in host.log_lines(target))


def test_prepare_says_whether_the_code_loads(host: FunctionHost) -> None:
    good, bad = host.target(), host.target("import nothing_of_that_name\n" + HELLO)
    missing = host.target(HELLO, handler="main:absent")
    host.apply()
    answer = host.ask({"op": "prepare", "target": good.id, "timeout_ms": 5000})
    assert answer["ok"]
    assert answer["level"] == 1
    assert host.ask({"op": "prepare", "target": good.id, "timeout_ms": 5000})["ms"] == 0.0
    answer = host.ask({"op": "prepare", "target": bad.id, "timeout_ms": 5000})
    assert (answer["ok"], answer["code"]) == (False, "import_failed")
    assert "nothing_of_that_name" in answer["message"]
    answer = host.ask({"op": "prepare", "target": missing.id, "timeout_ms": 5000})
    assert (answer["ok"], answer["code"]) == (False, "handler_not_found")
    assert host.ask({"op": "prepare", "target": "t0"})["code"] == "not_found"


def test_what_the_machine_lacks_has_a_code_of_its_own(host: FunctionHost) -> None:
    old = host.target(runtime="python2.6")
    gone = host.target(layers={"function": "sha256:" + "0" * 64})
    host.apply()
    assert host.call(old)[1]["code"] == "no_interpreter"
    assert host.call(gone)[1]["code"] == "layer_missing"


def test_an_overdue_request_is_killed_though_it_hides_its_slot(host: FunctionHost) -> None:
    # It blocks the interpreter, so the shim cannot answer 504; only the host can end it.
    source = "import re\ndef execute(input, context):\n    re.match('(a*)*b', 'a' * 200)\n"
    target = host.target(source, limits=Limits(memory_mb=64, timeout_ms=500))
    host.apply()
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        host.call(target)
    assert time.monotonic() - began < 4
    exits = until(lambda: [r for r in host.records("exit") if r["target"] == target.id])
    assert exits[0]["reason"] == "overdue"
    assert any("overdue" in line["message"] for line in host.log_lines(target))


def test_a_crash_loop_backs_off_and_heals(host: FunctionHost) -> None:
    source = (
        "import os\n"
        "def execute(input, context):\n    if input == 'die':\n        os._exit(3)\n    return 'fine'\n"
    )
    target = host.target(source)
    host.apply()
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            host.call(target, "die")
        until(lambda: not host.status(target)["instances"])
    assert host.status(target)["state"] == "backing_off"
    status, problem = host.call(target)
    assert (status, problem["code"]) == (503, "crash_loop")
    until(lambda: host.call(target)[0] == 200, what="it serves again after the back-off")
    assert host.records("exit")[-1]["reason"] == "crashed"


# Neither counts against a data limit of one process: shared memory, and many processes.
_SHARED = (
    "import mmap\n"
    "def execute(input, context):\n"
    "    held = mmap.mmap(-1, 150 << 20)\n"
    "    for page in range(0, 150 << 20, 4096):\n        held[page] = 1\n"
    "    import time; time.sleep(5)\n    return 'kept'\n"
)
_FORKS = (
    "import os, time\n"
    "def execute(input, context):\n"
    "    for _ in range(6):\n"
    "        if os.fork() == 0:\n"
    "            held = bytearray(25 << 20)\n            time.sleep(5)\n            os._exit(0)\n"
    "    time.sleep(5)\n    return 'kept'\n"
)
_PRIVATE = "def execute(input, context):\n    return len(bytearray(200 << 20))\n"


@pytest.mark.parametrize("source", [_SHARED, _PRIVATE], ids=["shared", "private"])
def test_memory_over_the_limit_ends_the_instance_not_the_host(host: FunctionHost, source: str) -> None:
    target = host.target(source, limits=Limits(memory_mb=64))
    host.apply()
    with contextlib.suppress(ConnectionResetError):
        status, problem = host.call(target)
        # Where no group can be made, a data limit lets Python say so first.
        assert (source, status) == (_PRIVATE, 500), problem
        return
    assert _end(host, target)["reason"] == "out_of_memory"
    assert any("out_of_memory" in line["message"] for line in host.log_lines(target))
    assert host.ask({"op": "status"})["ok"]


@pytest.mark.root
@becomes_other_users
@pytest.mark.parametrize(
    ("isolation", "source"),
    [("namespaces", _SHARED), ("namespaces", _FORKS), ("landlock", _SHARED)],
    ids=["namespaces-shared", "namespaces-forks", "landlock-shared"],
)
def test_without_memory_groups_the_host_watches(isolation: str, source: str) -> None:
    # An ordinary user may make no groups here, and so has no other limit than the host's eyes.
    with FunctionHost(isolation=isolation, user=1000) as host:
        target = host.target(source, limits=Limits(memory_mb=64))
        host.apply()
        with pytest.raises(ConnectionResetError):
            host.call(target)
        ended = _end(host, target)
        assert ended["reason"] == "out_of_memory"
        assert ended["peak_mb"] > 64
        honest = host.target(limits=Limits(memory_mb=64))
        host.apply()
        assert host.call(honest)[0] == 200
        assert host.status(honest)["state"] == "serving"


def _end(host: FunctionHost, target: HostTarget) -> dict[str, Any]:
    found: dict[str, Any] = until(lambda: [r for r in host.records("exit") if r["target"] == target.id])[0]
    return found


@functions_need_an_open_interpreter
def test_a_listener_that_somebody_shut_down_is_made_anew() -> None:
    # Without isolation nothing keeps user code from its listening socket.
    source = (
        "import os, socket\n"
        "def execute(input, context):\n"
        "    for number in range(3, 64):\n"
        "        try:\n"
        "            found = socket.socket(fileno=number)\n"
        "            if input == 'shut' and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):\n"
        "                found.shutdown(socket.SHUT_RDWR)\n"
        "            found.detach()\n"
        "        except OSError:\n"
        "            pass\n"
        "    return 'done'\n"
    )
    with FunctionHost(isolation="none") as host:
        target = host.target(source)
        host.apply()
        inode = host.socket(target).lstat().st_ino
        with contextlib.suppress(OSError):
            host.call(target, "shut")
        until(lambda: host.socket(target).lstat().st_ino != inode, what="a new socket")
        found = host.status(target)
        assert found["state"] in {"faulted", "backing_off"}
        assert "listening socket" in found["reason"]
        until(lambda: host.call(target)[0] == 200, what="it serves again after the back-off")


def test_an_instance_that_dies_of_a_signal_is_replaced(host: FunctionHost) -> None:
    target = host.target()
    host.apply()
    host.call(target)
    pid = host.status(target)["instances"][0]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not host.status(target)["instances"])
    assert host.call(target)[0] == 200


def test_one_test_run_answers_with_logs_and_leaves_nothing(host: FunctionHost) -> None:
    source = (
        "import decimal\n"
        "def execute(input, context):\n    print('seen', input)\n    return {'twice': input['n'] * 2}\n"
    )
    target = host.target(source)
    del host.targets[target.id]
    sockets = sorted(path.name for path in (host.folder / "run/fn").iterdir())
    request = {
        "method": "POST",
        "path": "/",
        "headers": [["Content-Type", "application/json"]],
        "body": base64.b64encode(json.dumps({"n": 21}).encode()).decode(),
    }
    order = {"op": "test", "target": asdict(target), "request": request, "timeout_ms": 5000}
    answer = host.ask(order)
    assert (answer["ok"], answer["status"]) == (True, 200)
    assert json.loads(base64.b64decode(answer["body"])) == {"twice": 42}
    assert any("seen" in record["message"] for record in answer["logs"])
    assert answer["import_ms"] > 0
    assert any(row[0] == "main" for row in answer["import_profile"])
    assert answer["peak_mb"] > 0
    assert sorted(path.name for path in (host.folder / "run/fn").iterdir()) == sockets
    assert all(record["target"] != target.id for record in host.records("start"))


def test_a_test_run_that_hangs_or_fails_says_so(host: FunctionHost) -> None:
    request = {"method": "POST", "path": "/", "headers": [], "body": ""}
    hanging = host.target("import time\ndef execute(input, context):\n    time.sleep(60)\n")
    broken = host.target("1/0\n")
    for target in (hanging, broken):
        del host.targets[target.id]
    order = {"op": "test", "target": asdict(hanging), "request": request, "timeout_ms": 400}
    answer = host.ask(order)
    assert (answer["ok"], answer["code"]) == (False, "overdue")
    answer = host.ask(order | {"target": asdict(broken), "timeout_ms": 5000})
    assert (answer["ok"], answer["code"]) == (False, "import_failed")
    assert "ZeroDivisionError" in answer["message"]
    refused = host.ask(order | {"request": request | {"headers": [["X", "a\r\nHost: b"]]}})
    assert refused["code"] == "invalid"


def test_a_test_run_that_uses_too_much_memory_says_so(host: FunctionHost) -> None:
    target = host.target(_SHARED, limits=Limits(memory_mb=64))
    del host.targets[target.id]
    request = {"method": "POST", "path": "/", "headers": [], "body": ""}
    answer = host.ask({"op": "test", "target": asdict(target), "request": request, "timeout_ms": 20_000})
    assert (answer["ok"], answer["code"]) == (False, "out_of_memory"), answer
    assert "64 MB" in answer["message"]


def test_a_malformed_wanted_state_is_refused_as_a_whole(host: FunctionHost) -> None:
    target = host.target()
    before = host.apply()
    desired = host.folder / "host" / "desired.json"
    good = json.loads(desired.read_text())
    for wrong in ("{", json.dumps(good | {"format": 2}), json.dumps(good | {"epoch": 0})):
        desired.write_text(wrong)
        answer = host.ask({"op": "apply"})
        assert answer["ok"] is False
        assert answer["code"] == "invalid"
    after = host.ask({"op": "status"})
    assert after["epoch"] == before["epoch"]
    assert host.call(target)[0] == 200


def test_secrets_reach_the_instance_and_no_one_elses_do(host: FunctionHost) -> None:
    source = "def execute(input, context):\n    return context.secrets['token']\n"
    own = host.target(source, secrets={"token": "org_a:sesame"})
    stolen = host.target(source, secrets={"token": "org_b:theirs"})
    host.apply()
    assert host.call(own) == (200, "sesame")
    assert host.call(stolen)[0] == 503


def test_memory_for_everybody_is_shared_and_idle_instances_make_room() -> None:
    with FunctionHost(memory_mb=200) as host:
        first, second = (host.target(limits=Limits(memory_mb=100)) for _ in range(2))
        third = host.target(limits=Limits(memory_mb=100), organization="org_b")
        host.apply()
        for target in (first, second, third):
            assert host.call(target)[0] == 200
        reasons = {r["target"]: r["reason"] for r in until(lambda: host.records("exit"))}
        assert reasons == {first.id: "evicted"}


def test_who_waits_for_memory_gets_it_as_soon_as_an_instance_has_nothing_to_do() -> None:
    slow = "import time\ndef execute(input, context):\n    time.sleep(0.5)\n    return {}\n"
    with FunctionHost(memory_mb=100) as host, ThreadPoolExecutor(1) as pool:
        busy, waiting = (
            host.target(slow, limits=Limits(memory_mb=100)),
            host.target(limits=Limits(memory_mb=100)),
        )
        host.apply()
        answer = pool.submit(host.call, busy)
        until(lambda: any(one["busy"] for one in host.status(busy)["instances"]))
        assert host.call(waiting, timeout_s=10)[0] == 200
        assert answer.result()[0] == 200
        assert [(one["target"], one["reason"]) for one in host.records("exit")] == [(busy.id, "evicted")]


def test_a_killed_level_1_template_is_started_again(host: FunctionHost) -> None:
    target = host.target()
    host.apply()
    for _ in range(3):
        template = until(lambda: [t for t in host.ask({"op": "status"})["templates"] if t["level"] == 1])[0]
        os.kill(template["pid"], signal.SIGKILL)
        other = host.target()
        host.apply()
        assert host.call(other)[0] == 200
    assert host.call(target)[0] == 200


def test_an_instance_that_never_gets_ready_is_ended() -> None:
    with FunctionHost(start_timeout_s=0.5) as host:
        target = host.target("import time\ntime.sleep(60)\n" + HELLO)
        host.apply()
        status, problem = host.call(target)
        assert (status, problem["code"]) == (503, "start_timeout")
        assert host.status(target)["instances"] == []
