"""Standbys: an instance that is ready before anybody calls, and has done nothing yet."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

from control_plane.domain.desired import HostTarget
from tests.support.function_host import HELLO, FunctionHost, until

COUNT = (
    "import os\nSTARTS = []\n"
    "def on_start(context):\n    STARTS.append(os.getpid())\n"
    "def execute(input, context):\n    return [os.getpid(), len(STARTS)]\n"
)


def warm(host: FunctionHost, source: str = HELLO) -> HostTarget:
    target = host.target(source)
    host.apply()
    host.call(target)
    until(lambda: host.ask({"op": "status"})["standbys"] == 1, what="a standby")
    return target


def cool(host: FunctionHost, target: HostTarget) -> None:
    host.ask({"op": "retire", "target": target.id})
    until(lambda: not host.status(target)["instances"], what="no instance")


def records(host: FunctionHost) -> list[dict[str, object]]:
    return [json.loads(line) for line in (host.folder / "host" / "records.log").read_text().splitlines()]


def children(host: FunctionHost) -> set[int]:
    """Return every process below the host."""
    assert host.process is not None
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found, grown = {host.process.pid}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return found - {host.process.pid}


def test_the_next_start_takes_the_standby_and_another_one_is_made() -> None:
    with FunctionHost(level2_delay_s=0.0) as host:
        target = warm(host, COUNT)
        cool(host, target)
        before = len(records(host))
        assert host.call(target)[1] == [1, 1]
        # It was never on record before it was taken.
        started = [record for record in records(host)[before:] if record["kind"] == "start"]
        assert len(started) == 1
        assert started[0]["level"] == 2
        until(lambda: host.ask({"op": "status"})["standbys"] == 1, what="another standby")
        cool(host, target)
        until(lambda: len([one for one in records(host) if one["kind"] == "exit"]) == 2, what="both ends")


def test_a_standby_ends_with_its_template_and_leaves_no_record() -> None:
    with FunctionHost(level2_delay_s=0.0) as host:
        target = warm(host)
        cool(host, target)
        begun = children(host)
        del host.targets[target.id]
        host.apply()
        until(lambda: host.ask({"op": "status"})["standbys"] == 0, what="no standby")
        # The level-1 template is all that is left.
        until(lambda: len(children(host)) == 1, what=f"nothing left of {begun}")
        assert len([one for one in records(host) if one["kind"] == "start"]) == 1


def test_a_standby_that_dies_is_nobodys_failure() -> None:
    with FunctionHost(level2_delay_s=0.0) as host:
        target = warm(host, COUNT)
        cool(host, target)
        until(lambda: not host.ask({"op": "status"})["preparing"], what="quiet")
        # The newest process of all is the standby: killed while nobody needs it.
        os.kill(max(children(host)), signal.SIGKILL)
        until(lambda: host.ask({"op": "status"})["standbys"] == 0, what="no standby")
        assert host.status(target)["state"] == "idle"
        assert host.call(target)[1] == [1, 1]


def test_memory_of_standbys_is_not_charged_to_instances() -> None:
    with FunctionHost(level2_delay_s=0.0, memory_mb=150) as host:
        first = warm(host)
        other = host.target("def execute(input, context):\n    return 'other'\n")
        host.apply()
        cool(host, first)
        # One limit of 128 MB fits the budget, two do not.
        assert host.call(other) == (200, "other")


def test_what_a_standby_says_before_its_leave_starts_nothing() -> None:
    # Reaches over the stack for the template's own functions, as hostile code can.
    source = (
        "import json, sys\n"
        "def hostile(status):\n"
        "    for event in ({'event': 'born'}, {'event': 'ready', 'import_us': 1},\n"
        "                  {'event': 'failed', 'code': 'import_failed', 'message': 'x'}):\n"
        "        status.send(json.dumps(event).encode())\n"
        "    status.recv(1)\n"
        "frame = sys._getframe()\n"
        "while frame and '_wait_for_leave' not in frame.f_globals:\n    frame = frame.f_back\n"
        "frame.f_globals['_wait_for_leave'] = hostile\n"
        "def execute(input, context):\n"
        "    return frame.f_globals['_wait_for_leave'] is hostile\n"
    )
    with FunctionHost(level2_delay_s=0.0) as host:
        target = host.target(source)
        host.apply()
        assert host.call(target) == (200, True)
        until(lambda: host.ask({"op": "status"})["standbys"] == 1, what="a standby")
        cool(host, target)
        assert host.status(target)["state"] == "idle"
        assert [one["level"] for one in records(host) if one["kind"] == "start"] == [1]
        assert host.call(target) == (200, True)
        assert host.status(target)["instances"][0]["level"] == 2


def test_a_template_that_never_ends_its_import_ends_when_it_is_dropped() -> None:
    # Quick where an instance imports it, endless where a template does.
    source = (
        "import sys, time\n"
        "frame = sys._getframe()\n"
        "while frame and frame.f_code.co_name != '_level2':\n    frame = frame.f_back\n"
        "if frame:\n    time.sleep(600)\n"
        "def execute(input, context):\n    return 1\n"
    )
    with FunctionHost(level2_delay_s=0.0) as host:
        target = host.target(source)
        host.apply()
        assert host.call(target) == (200, 1)
        building = "starting"
        until(lambda: [one.get("state") for one in host.ask({"op": "status"})["templates"]][1:] == [building])
        cool(host, target)
        del host.targets[target.id]
        host.apply()
        until(lambda: len(children(host)) == 1, what="the level-1 template alone")


def test_what_a_template_left_behind_ends_with_it_but_its_instances_finish() -> None:
    source = (
        "import os, time\n"
        "if os.fork() == 0:\n    time.sleep(600)\n"
        "def execute(input, context):\n    time.sleep(input or 0)\n    return os.getpid()\n"
    )
    with FunctionHost(level2_delay_s=0.0) as host:
        target = warm(host, source)
        cool(host, target)
        answers: list[object] = []
        caller = threading.Thread(target=lambda: answers.append(host.call(target, 1.5)))
        caller.start()
        until(lambda: any(one["busy"] for one in host.status(target)["instances"]), what="a call")
        assert host.status(target)["instances"][0]["level"] == 2
        del host.targets[target.id]
        host.apply()
        caller.join(10)
        assert answers == [(200, 1)]
        until(lambda: len(children(host)) == 1, what="the level-1 template alone")
