"""The function host with real processes and sockets: start, scale, end."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from control_plane.domain.desired import HostTarget, Limits
from tests.support.function_host import HELLO, FunctionHost, until
from tests.support.rights import becomes_other_users

SLOW = (
    "import os, time\n"
    "def execute(input, context):\n    time.sleep(input['s'])\n    return {'pid': os.getpid()}\n"
)


@pytest.fixture(scope="module")
def host() -> Iterator[FunctionHost]:
    with FunctionHost(idle_timeout_s=0.4, level2_delay_s=0.05) as running:
        yield running


def test_a_connection_starts_an_instance_and_idleness_ends_it(host: FunctionHost) -> None:
    target = host.target()
    host.apply()
    assert host.status(target)["state"] == "idle"
    assert host.call(target, {"name": "Ada"}) == (200, {"hello": "Ada"})
    assert host.status(target)["state"] == "serving"
    until(lambda: host.status(target)["state"] == "idle", what="idle again")
    assert host.call(target, {"name": "Bo"}) == (200, {"hello": "Bo"})
    first = host.records("start")[0]
    assert first["activated_ms"] <= first["ready_ms"]
    assert first["level"] == 1
    exits = until(lambda: [r for r in host.records("exit") if r["target"] == target.id])
    assert exits[0]["reason"] == "idle"
    assert exits[0]["served"] == 1
    assert exits[0]["peak_mb"] > 0


def test_a_used_target_gets_a_warm_template_and_starts_from_it(host: FunctionHost) -> None:
    source = "import time\ntime.sleep(0.5)\nIMPORTED = time.time()\n"
    target = host.target(source + "def execute(input, context):\n    return {'imported': IMPORTED}\n")
    host.apply()
    host.call(target)
    until(lambda: _template(host, target.id) == "ready", what="a level-2 template")
    host.ask({"op": "retire", "target": target.id})
    until(lambda: host.status(target)["state"] == "idle")
    began = time.time()
    status, answer = host.call(target)
    assert status == 200
    assert answer["imported"] < began, "the import was paid for again"
    # An instance answers before the host has read that it is ready.
    starts = until(lambda: [r["level"] for r in host.records("start") if r["target"] == target.id][1:])
    assert starts == [2]


def test_an_import_that_leaves_a_thread_gets_no_warm_template(host: FunctionHost) -> None:
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n"
    target = host.target(source + HELLO)
    host.apply()
    assert host.call(target)[0] == 200
    until(lambda: _template(host, target.id) == "unfit", what="the template is refused")


def test_waiting_calls_start_more_instances_up_to_the_limit(host: FunctionHost) -> None:
    target = host.target(SLOW, limits=Limits(memory_mb=64, instances=3))
    host.apply()
    with ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(lambda _: host.call(target, {"s": 0.3}), range(9)))
    assert [status for status, _ in answers] == [200] * 9
    starts = [r for r in host.records("start") if r["target"] == target.id]
    assert len(starts) == 3


def test_no_call_is_lost_while_instances_retire(host: FunctionHost) -> None:
    target = host.target(limits=Limits(memory_mb=64, instances=2))
    host.apply()
    failures: list[object] = []
    done = 0
    stop = time.monotonic() + 3

    def caller() -> None:
        nonlocal done
        while time.monotonic() < stop:
            try:
                status, _ = host.call(target)
                if status != 200:
                    failures.append(status)
            except OSError as error:
                failures.append(error)
            done += 1

    threads = [threading.Thread(target=caller) for _ in range(4)]
    for thread in threads:
        thread.start()
    while time.monotonic() < stop:
        host.ask({"op": "retire", "target": target.id})
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert failures == []
    assert done > 100
    assert len([r for r in host.records("exit") if r["target"] == target.id]) > 10


def test_warm_calls_wake_the_host_only_by_its_timer(host: FunctionHost) -> None:
    target = host.target()
    host.apply()
    host.call(target)
    until(lambda: _template(host, target.id) == "ready")
    before, began = host.ask({"op": "status"})["wakeups"], time.monotonic()
    for _ in range(300):
        host.call(target)
    spent = time.monotonic() - began
    wakeups = host.ask({"op": "status"})["wakeups"] - before
    # One look each 25 ms, and a few wake-ups for the two status requests.
    assert wakeups <= spent / 0.025 + 30


def test_a_target_that_is_no_longer_wanted_serves_what_waits_and_ends(host: FunctionHost) -> None:
    target = host.target(SLOW, limits=Limits(memory_mb=64, instances=1))
    host.apply()
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(host.call, target, {"s": 0.3}) for _ in range(3)]
        until(lambda: host.status(target)["instances"], what="an instance")
        time.sleep(0.1)
        del host.targets[target.id]
        host.apply()
        assert [call.result()[0] for call in calls] == [200, 200, 200]
    assert not host.socket(target).exists()
    until(lambda: host.ask({"op": "status"})["retiring"] == 0)
    assert [r["reason"] for r in host.records("exit") if r["target"] == target.id][-1] == "retired"


def test_logs_carry_request_ids_and_unfinished_lines(host: FunctionHost) -> None:
    source = (
        "import os, sys\n"
        "def execute(input, context):\n"
        "    context.logger.info('framed \\x1b[31m')\n"
        "    os.write(1, b'raw\\xff\\x00 without an end')\n"
        "    return 1\n"
    )
    target = host.target(source)
    host.apply()
    assert host.call(target)[0] == 200
    until(lambda: not host.status(target)["instances"], what="its end")
    lines = host.log_lines(target)
    framed = next(line for line in lines if line["message"].startswith("framed"))
    assert framed["request_id"] == "req-1"
    assert framed["version"] == target.version
    assert any("without an end" in line["message"] for line in lines)


def test_a_flood_of_logs_does_not_hold_up_others() -> None:
    flood = "import os\ndef execute(input, context):\n    while True:\n        os.write(1, b'x\\n' * 2000)\n"
    with FunctionHost(log_mb_per_day=1) as host:
        noisy = host.target(flood, limits=Limits(memory_mb=64, timeout_ms=3000, instances=1))
        quiet = host.target()
        host.apply()
        host.call(quiet)
        thread = threading.Thread(target=_call_in_vain, args=(host, noisy))
        thread.start()
        time.sleep(0.3)
        waits = []
        for _ in range(30):
            began = time.monotonic()
            assert host.ask({"op": "status"})["ok"]
            waits.append(time.monotonic() - began)
        thread.join()
        assert sorted(waits)[15] < 0.1
        lines = host.log_lines(noisy)
        assert lines[-1]["message"].endswith("no more is kept today")
        assert sum(1 for line in lines if "no more is kept" in line["message"]) == 1
        file = next((host.folder / "host/logs" / noisy.function).glob("*.jsonl"))
        assert file.stat().st_size < (1 << 20) + 1000


@pytest.mark.root
def test_every_instance_has_a_user_id_of_its_own(host: FunctionHost) -> None:
    if os.geteuid() != 0:
        pytest.skip("own user ids need root")
    source = "import os\ndef execute(input, context):\n    return os.getuid()\n"
    first, second = host.target(source), host.target(source)
    host.apply()
    uids = {host.call(first)[1], host.call(second)[1]}
    assert len(uids) == 2
    assert min(uids) >= 63000


def _call_in_vain(host: FunctionHost, target: HostTarget) -> None:
    with contextlib.suppress(OSError):
        host.call(target)


def _template(host: FunctionHost, target: str) -> str:
    for template in host.ask({"op": "status"})["templates"]:
        if template.get("target") == target:
            return str(template["state"])
    return ""


def test_bytecode_is_compiled_once_and_found_by_the_next_instance() -> None:
    source = "import os\ndef execute(input, context):\n    return [__cached__, os.path.exists(__cached__)]\n"
    with FunctionHost(level2_templates=0) as host:
        target = host.target(source)
        host.apply()
        cached, there = host.call(target)[1]
        assert cached.startswith("/bytecode/function/main.")
        assert not there
        layer = target.layers["function"].removeprefix("sha256:")
        until(lambda: list((host.folder / "bytecode").glob(f"*/{layer}/*.pyc")), 20, "the bytecode")
        host.ask({"op": "retire", "target": target.id})
        until(lambda: not host.status(target)["instances"])
        assert host.call(target)[1] == [cached, True]
        assert not list((host.folder / "layers" / layer).glob("__pycache__"))


@pytest.mark.root
@becomes_other_users
@pytest.mark.parametrize("isolation", ["namespaces", "landlock"])
def test_an_ordinary_user_can_run_it_at_both_levels(isolation: str) -> None:
    source = (
        "import tempfile\n"
        "def execute(input, context):\n"
        "    with tempfile.TemporaryFile() as file:\n"
        "        return file.write(b'four')\n"
    )
    with FunctionHost(isolation=isolation, user=1000, level2_delay_s=0.05) as host:
        target = host.target(source)
        host.write()
        os.chown(host.folder / "host" / "desired.json", 1000, 1000)
        assert host.ask({"op": "apply"})["ok"]
        assert host.call(target) == (200, 4)
        if isolation == "namespaces":
            until(lambda: _template(host, target.id) == "ready", what="a level-2 template")
        host.ask({"op": "retire", "target": target.id})
        until(lambda: not host.status(target)["instances"])
        assert host.call(target) == (200, 4)
        assert host.status(target)["instances"][0]["level"] == (2 if isolation == "namespaces" else 1)


@pytest.mark.parametrize("pause_s", [0.06, 0.0], ids=["slow import", "quick import"])
def test_a_template_built_before_its_bytecode_is_built_once_more_if_that_pays(pause_s: float) -> None:
    source = (
        f"import os, time\ntime.sleep({pause_s})\nFOUND = os.path.exists(__cached__)\n"
        "def execute(input, context):\n    return FOUND\n"
    )
    with FunctionHost(level2_delay_s=0.0) as host:
        target = host.target(source)
        host.apply()
        assert host.call(target) == (200, False)
        layer = target.digest[7:]
        until(lambda: list((host.folder / "bytecode").glob(f"*/{layer}")), what="bytecode")
        until(lambda: _template(host, target.id) == "ready", what="a template")

        def told() -> list[object]:
            host.ask({"op": "retire", "target": target.id})
            until(lambda: not host.status(target)["instances"])
            answer, level = host.call(target)[1], host.status(target)["instances"][0]["level"]
            # The first template serves until the second is there: level 1 would be slow.
            assert level == 2
            return [answer, level]

        if pause_s:
            until(lambda: told() == [True, 2], what="an instance of a template with bytecode")
        else:
            assert told() == [False, 2]
