"""Children that outlive their function, and hosts that are killed: nothing of either stays."""

from __future__ import annotations

import binascii
import os
import signal
from pathlib import Path

import pytest
from ingot_sandbox import cgroup_files

from control_plane.domain.desired import HostTarget, Limits
from tests.support.function_host import FunctionHost, until
from tests.support.rights import functions_need_an_open_interpreter

# Forks until it may not, each child in a session of its own and deaf, then leaves them behind.
_BOMB = (
    "import os, signal, time\n"
    "def execute(input, context):\n"
    "    if input == 'uid':\n        return os.getuid()\n"
    "    for _ in range(100):\n"
    "        try:\n            child = os.fork()\n        except OSError:\n            break\n"
    "        if child == 0:\n"
    "            try:\n"
    "                os.setsid()\n"
    "                signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "                if os.fork() == 0:\n                    time.sleep(60)\n"
    "            finally:\n                os._exit(0)\n"
    "    os._exit(3)\n"
)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives functions user ids of their own")
@pytest.mark.parametrize(
    "isolation", ["namespaces", pytest.param("none", marks=functions_need_an_open_interpreter)]
)
@pytest.mark.parametrize("supervised", [True, False], ids=["supervised", "alone"])
def test_children_that_outlive_their_function_are_ended_and_reaped(isolation: str, supervised: bool) -> None:
    # One user id only: the next instance needs it back.
    with FunctionHost(isolation=isolation, supervised=supervised, uid_count=1, level2_templates=0) as host:
        target = host.target(_BOMB, limits=Limits(memory_mb=128))
        host.apply()
        assert host.process is not None
        root, tops = host.process.pid, _tops(host)
        for _ in range(3):
            with pytest.raises(ConnectionResetError):
                host.call(target)
            until(lambda: not host.status(target)["instances"], what="its end")
            until(lambda: not _processes_of(63000), what="no process of its user is left")
            until(lambda: not _zombies(root), what="no zombie")
            until(lambda: host.call(target, "uid") == (200, 63000), what="the user id is back")
            _end(host, target)
    assert _left(tops) == []


@pytest.mark.root
def test_after_a_kill_of_everything_the_next_start_leaves_no_group() -> None:
    host = FunctionHost(supervised=True, level2_delay_s=0.0)
    try:
        host.start()
        target = host.target(_BOMB, limits=Limits(memory_mb=128))
        host.apply()
        assert host.call(target, "uid")[0] == 200
        until(lambda: len(host.ask({"op": "status"})["templates"]) == 2, what="a level-2 template")
        tops = _tops(host)
        assert host.process is not None
        # The supervisor first, so that nobody starts anything again.
        killed = [host.process.pid, host.host_pid(), *_members(tops)]
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        host.process.wait(10)
        until(lambda: not _members(tops), what="nothing of it runs")
        stale = {path for path in _left(tops) if path not in tops}
        assert stale or not tops
        host.start()
        assert not {path for path in _left(tops) if path not in tops} & stale
        assert host.call(target, "uid")[0] == 200
    finally:
        host.stop()
    assert _left(tops) == []


def _end(host: FunctionHost, target: HostTarget) -> None:
    host.ask({"op": "retire", "target": target.id})
    until(lambda: not host.status(target)["instances"])


def _tops(host: FunctionHost) -> list[Path]:
    name = f"ingot-{binascii.crc32(os.fsencode(host.folder / 'host')):08x}"
    homes = set(cgroup_files.homes()[1].values())
    return [Path(home, name) for home in sorted(homes) if Path(home, name).is_dir()]


def _left(tops: list[Path]) -> list[Path]:
    return [path for top in tops for path in (top, *top.rglob("*")) if path.is_dir()]


def _members(tops: list[Path]) -> list[int]:
    return sorted(
        {int(pid) for top in tops for file in top.glob("*/cgroup.procs") for pid in file.read_text().split()}
    )


def _stats() -> list[tuple[int, str, int, int]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            found.append((int(folder.name), state, int(parent), folder.stat().st_uid))
        except OSError:
            continue
    return found


def _processes_of(uid: int) -> list[int]:
    return [pid for pid, _, _, owner in _stats() if owner == uid]


def _zombies(root: int) -> list[int]:
    children, family = _stats(), {root}
    for _ in range(4):
        family |= {pid for pid, _, parent, _ in children if parent in family}
    return [pid for pid, state, _, _ in children if state == "Z" and pid in family]
