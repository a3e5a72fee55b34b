"""Limits by child groups: memory, processes, peaks, and nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ingot_sandbox.cgroups import Groups
from ingot_sandbox.process_memory import memory_of, memory_of_family
from ingot_sandbox.verify import unconfined

HOG = "import sys; sys.stdin.read(1); a=bytearray(200<<20); print(len(a))"


@pytest.fixture
def groups() -> Iterator[Groups]:
    made = Groups(f"ingot-test-{os.getpid()}")
    folders = made._top.folders()
    yield made
    made.close()
    assert not [folder for folder in folders if Path(folder).exists()]


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.root
def test_memory_limit_kills_one_and_not_its_neighbour(groups: Groups) -> None:
    if not groups.memory:
        pytest.skip(groups.why)
    small, large = groups.acquire(64, 50), groups.acquire(400, 50)
    assert small is not None
    assert large is not None
    hogs = [start(HOG), start(HOG)]
    for group, hog in zip((small, large), hogs, strict=True):
        group.add(hog.pid)
        assert groups.of_process(hog.pid) == group
    answers = [hog.communicate("g", timeout=30)[0] for hog in hogs]
    assert [hog.returncode for hog in hogs] == [-9, 0]
    assert answers[1] == f"{200 << 20}\n"
    assert small.out_of_memory_kills() == 1
    assert large.peak() > 150 << 20
    assert groups.release(small)
    assert groups.release(large)


@pytest.mark.root
def test_process_limit_holds_a_fork_bomb(groups: Groups) -> None:
    if not groups.pids:
        pytest.skip(groups.why)
    group = groups.acquire(200, 10)
    assert group is not None
    code = (
        "import os,sys,time\nsys.stdin.read(1)\nmade=0\ntry:\n  while made<100:\n"
        "    if os.fork()==0: time.sleep(60)\n    made+=1\nexcept BlockingIOError: pass\n"
        "print(made,flush=True)\n"
        "time.sleep(60)"
    )
    bomb = start(code)
    group.add(bomb.pid)
    assert bomb.stdin is not None
    assert bomb.stdout is not None
    bomb.stdin.write("g")
    bomb.stdin.close()
    assert int(bomb.stdout.readline()) == 9
    assert not groups.release(group)
    group.kill()
    bomb.stdout.read()
    bomb.stdout.close()
    bomb.wait(10)


JOIN = (
    "import os,sys\nsys.stdin.read(1)\n"
    "for door in sys.argv[1:]:\n  os.write(int(door), b'0')\n"
    "print('in', flush=True)\nsys.stdin.read(1)\n"
)


@pytest.mark.root
def test_a_process_joins_by_a_door_and_a_group_for_one_process_is_not_used_again(groups: Groups) -> None:
    if not groups.memory or groups.version == 2:
        pytest.skip(groups.why or "v2 has no doors")
    group = groups.acquire(200, 10, once=True)
    assert group is not None
    doors = group.doors()
    member = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", JOIN, *map(str, doors)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=doors,
    )
    assert member.stdin is not None
    assert member.stdout is not None
    assert not group.holds(member.pid)
    member.stdin.write("g")
    member.stdin.flush()
    assert member.stdout.readline() == "in\n"
    assert group.holds(member.pid)
    member.communicate("g", timeout=10)
    folders = group.folders()
    assert groups.release(group)
    assert not any(Path(folder).exists() for folder in folders)
    for door in doors:
        with pytest.raises(OSError, match="No such device"):
            os.write(door, b"0")
        os.close(door)
    following = groups.acquire(200, 10)
    assert following is not None
    assert following.folders() != folders


def test_memory_of_a_process_is_known_without_a_group() -> None:
    assert memory_of(os.getpid()) > 1 << 20
    assert memory_of(2**22 + 1) == 0


def test_what_a_process_forks_counts_too_orphans_of_threads_included() -> None:
    code = (
        "import os, sys, threading, time\n"
        "def fork():\n"
        "    if os.fork() == 0:\n"
        "        held = bytearray(20 << 20)\n"
        "        print('there', flush=True)\n"
        "        time.sleep(60)\n"
        "for _ in range(2):\n    threading.Thread(target=fork).start()\n"
        "sys.stdin.read(1)\n"
        "import signal; os.killpg(0, signal.SIGKILL)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["there\n", "there\n"]
        assert memory_of(process.pid) < 20 << 20
        assert memory_of_family(process.pid, 1 << 40) > 40 << 20
        assert memory_of_family(process.pid, 0) < 20 << 20
        assert memory_of_family(2**22 + 1, 1 << 40) == 0
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)


def test_the_host_sees_that_an_ordinary_process_is_not_confined() -> None:
    missing = unconfined(os.getpid(), "namespaces", filters=1)
    assert "its system call filter is not the final one" in missing
    assert "it shares its process numbers with others" in missing
    with pytest.raises(ProcessLookupError):
        unconfined(2**22 + 1, "namespaces", filters=1)
