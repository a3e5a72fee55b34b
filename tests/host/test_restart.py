"""A host that is killed or drained: nobody who calls may notice."""

from __future__ import annotations

import binascii
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from control_plane.domain.desired import HostTarget, Limits
from tests.support.function_host import FunctionHost, until

SLOW = (
    "import time\n"
    "def execute(input, context):\n    time.sleep(input['s'])\n    print('slept')\n    return 'slept'\n"
)


class Load:
    """Callers that keep on calling; `failures` is what they saw besides 200."""

    def __init__(self, host: FunctionHost, targets: list[HostTarget], callers: int) -> None:
        self.host, self.targets = host, targets
        self.failures: list[str] = []
        self.done = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(callers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, number: int) -> None:
        while not self._stop.is_set():
            number += 1
            try:
                status, _ = self.host.call(self.targets[number % len(self.targets)])
            except OSError as error:
                status = repr(error)  # type: ignore[assignment]
            if status != 200:
                self.failures.append(f"{time.monotonic()}: {status}")
            self.done += 1


@pytest.mark.slow
def test_kill_9_of_the_host_under_load_loses_no_request() -> None:
    with FunctionHost(supervised=True, idle_timeout_s=0.15, level2_delay_s=0.05) as host:
        targets = [host.target(limits=Limits(memory_mb=64, instances=2)) for _ in range(3)]
        host.apply()
        with Load(host, targets, 4) as load:
            for _ in range(12):
                time.sleep(0.2)
                killed = host.host_pid()
                os.kill(killed, signal.SIGKILL)
                until(lambda killed=killed: host.host_pid() != killed, what="a new host")  # type: ignore[misc]
                until(lambda: _epoch(host) > 0, what="the new host answers")
        assert load.failures == []
        assert load.done > 50
        # What was started was ended or runs: nothing is lost from the account.
        until(lambda: all(not host.status(target)["instances"] for target in targets), what="all idle")
        started = {record["instance"] for record in host.records("start")}
        until(lambda: started <= {r["instance"] for r in host.records("exit")}, what="every exit record")


def test_an_instance_is_taken_over_with_its_request_and_its_log() -> None:
    with FunctionHost(supervised=True) as host:
        target = host.target(SLOW, limits=Limits(memory_mb=64))
        host.apply()
        answers: list[object] = []
        thread = threading.Thread(target=lambda: answers.append(host.call(target, {"s": 1.5})))
        thread.start()
        before = until(lambda: host.status(target)["state"] == "serving" and host.status(target)["instances"])
        killed = host.host_pid()
        os.kill(killed, signal.SIGKILL)
        until(lambda: host.host_pid() != killed and _epoch(host) > 0, what="the new host answers")
        thread.join()
        assert answers == [(200, "slept")]
        assert host.status(target)["instances"][0]["pid"] == before[0]["pid"]
        until(lambda: any(line["message"] == "slept" for line in host.log_lines(target)))
        host.ask({"op": "retire", "target": target.id})
        exits = until(lambda: host.records("exit"))
        assert (exits[0]["reason"], exits[0]["status"]) == ("retired", 0)


def test_a_connection_made_while_the_host_is_dead_is_answered() -> None:
    with FunctionHost(supervised=True) as host:
        target = host.target()
        host.apply()
        pid = host.host_pid()
        os.kill(pid, signal.SIGKILL)
        assert host.call(target, {"name": "patient"}) == (200, {"hello": "patient"})


@pytest.mark.parametrize("supervised", [True, False])
def test_a_drain_finishes_what_runs_and_leaves_no_process(supervised: bool) -> None:
    host = FunctionHost(supervised=supervised, level2_delay_s=0.01)
    host.start()
    target = host.target(SLOW, limits=Limits(memory_mb=64))
    host.apply()
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(host.call(target, {"s": 0.7})))
    thread.start()
    instances = until(lambda: host.status(target)["state"] == "serving" and host.status(target)["instances"])
    templates = [t["pid"] for t in host.ask({"op": "status"})["templates"] if "pid" in t]
    assert host.process is not None
    time.sleep(0.1)
    assert host.stop() == 0
    thread.join()
    assert answers == [(200, "slept")]
    name = f"ingot-{binascii.crc32(os.fsencode(host.folder / 'host')):08x}"
    assert not list(Path("/sys/fs/cgroup").glob(f"*/**/{name}")), "control groups are left"
    for pid in [instances[0]["pid"], *templates]:
        until(lambda pid=pid: not _alive(pid), 3, f"process {pid} ends")  # type: ignore[misc]


def test_kill_9_without_a_supervisor_leaves_no_orphan() -> None:
    host = FunctionHost(level2_delay_s=0.01)
    host.start()
    target = host.target()
    host.apply()
    host.call(target)
    pid = host.status(target)["instances"][0]["pid"]
    assert host.process is not None
    host.process.kill()
    host.process.wait()
    until(lambda: not _alive(pid), 5, "the orphan ends")
    host.process = None
    host.stop()


def test_a_thousand_idle_targets_start_fast_and_stay_small() -> None:
    host = FunctionHost()
    for _ in range(1000):
        host.target()
    began = time.monotonic()
    with host:
        spent = time.monotonic() - began
        status = host.ask({"op": "status"})
        assert len(status["targets"]) == 1000
        last = list(host.targets.values())[-1]
        assert host.call(last)[0] == 200
        rss = _resident_mb(host.host_pid())
    print(f"1,000 targets: ready after {spent:.2f} s, {rss:.1f} MB")
    assert spent < 5
    assert rss < 45


def _epoch(host: FunctionHost) -> int:
    try:
        return int(host.ask({"op": "status"}, 2)["epoch"])
    except (OSError, ValueError):
        return 0


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


@pytest.mark.parametrize("told", [True, False], ids=["applied", "not applied"])
def test_a_call_that_waits_for_a_retired_target_survives_a_kill(told: bool) -> None:
    with FunctionHost(supervised=True) as host:
        target, other = host.target(SLOW, limits=Limits(memory_mb=64)), host.target()
        host.apply()
        # A connection that no host has seen: it waits in the backlog only.
        os.kill(host.host_pid(), signal.SIGSTOP)
        stopped = host.host_pid()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(host.socket(target)))
            connection.sendall(_request({"s": 0.5}))
            del host.targets[target.id]
            host.write()
            os.kill(stopped, signal.SIGCONT if told else signal.SIGKILL)
            if told:
                assert host.ask({"op": "apply"})["ok"]
                until(lambda: not host.socket(target).exists(), what="nobody new connects")
                os.kill(stopped, signal.SIGKILL)
            until(lambda: host.host_pid() != stopped and _epoch(host) > 1, what="the new host answers")
            assert not host.socket(target).exists()
            assert b"slept" in _everything(connection)
        assert host.call(other)[0] == 200
        until(lambda: host.ask({"op": "status"})["retiring"] == 0, what="it has ended")
        assert list((host.folder / "host" / "retiring").iterdir()) == []


def _request(document: object) -> bytes:
    body = json.dumps(document).encode()
    head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _everything(connection: socket.socket) -> bytes:
    content = bytearray()
    while piece := connection.recv(1 << 16):
        content += piece
    return bytes(content)
