"""Parts as real processes in cgroups of their own: found, not mistaken, ended with all they started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from knative.bootstrap.cgroups import make_parts_cgroup, part_cgroup, processes_in, remove_cgroups
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.part import Account, Part, Probe
from knative.bootstrap.plan import Plan
from knative.bootstrap.processes import log_file, main_process, start, started_with, stop
from knative.bootstrap.readiness import wait_until_ready
from tests.bootstrap.samples import a_plan

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="cgroups are root's to make"),
    pytest.mark.skipif(not os.access("/sys/fs/cgroup", os.W_OK), reason="no cgroups can be made here"),
]


def a_shell(plan: Plan, script: str) -> Part:
    """Return a part that runs a script, ready when the script made a file."""
    told = plan.run / "told"
    return Part(
        "tried", ("/bin/sh", "-c", script, "sh", str(told)), Probe("command", ("test", "-e", str(told)))
    )


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Plan]:
    """Yield a plan whose cgroups are its own and gone afterwards."""
    found = replace(a_plan(tmp_path), name=f"ingot-t{os.getpid()}")
    yield found
    remove_cgroups(found)
    assert not part_cgroup(found, "tried").exists()


def test_a_part_runs_until_it_is_stopped(plan: Plan) -> None:
    part = a_shell(plan, 'echo hello; touch "$1"; exec sleep 60')
    start(plan, part, "key")
    wait_until_ready(plan, part, 20)
    pid = main_process(plan, "tried")
    assert pid is not None
    assert os.getsid(pid) == pid
    assert started_with(plan, "tried") == "key"
    assert log_file(plan, "tried").read_text() == "hello\n"
    stop(plan, part)
    assert main_process(plan, "tried") is None
    assert started_with(plan, "tried") == ""


def test_a_part_that_does_not_listen_to_reason_is_killed(plan: Plan) -> None:
    part = replace(a_shell(plan, 'trap "" TERM; touch "$1"; while :; do sleep 60; done'), patience=0.1)
    start(plan, part, "key")
    wait_until_ready(plan, part, 20)
    stop(plan, part)
    assert main_process(plan, "tried") is None


def test_a_pid_file_that_names_somebody_else_is_not_believed(plan: Plan) -> None:
    make_parts_cgroup(plan, "tried")
    plan.run.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (plan.run / "tried.pid").write_text(f"{stranger.pid}\n")
        assert main_process(plan, "tried") is None
        stop(plan, a_shell(plan, "true"))
        assert stranger.poll() is None
        stranger.kill()


def test_what_an_earlier_run_left_is_ended_before_the_next(plan: Plan) -> None:
    part = a_shell(plan, 'sleep 60 & touch "$1"; wait')
    start(plan, part, "key")
    wait_until_ready(plan, part, 20)
    first = processes_in(part_cgroup(plan, "tried"))
    assert len(first) == 2
    pid = main_process(plan, "tried")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    # As if the run had been killed before it wrote: nobody knows these processes but the cgroup.
    (plan.run / "tried.pid").unlink()
    start(plan, part, "key")
    assert not first & processes_in(part_cgroup(plan, "tried"))


def test_children_that_must_live_on_do(plan: Plan) -> None:
    part = replace(a_shell(plan, 'sleep 60 & touch "$1"; wait'), keeps_children=True)
    start(plan, part, "key")
    wait_until_ready(plan, part, 20)
    pid = main_process(plan, "tried")
    assert pid is not None
    (child,) = processes_in(part_cgroup(plan, "tried")) - {pid}
    os.kill(pid, signal.SIGKILL)
    start(plan, part, "key")
    assert child in processes_in(part_cgroup(plan, "tried"))
    assert main_process(plan, "tried") not in {None, pid}


def test_a_part_that_ends_at_once_is_told_with_its_last_words(plan: Plan) -> None:
    part = a_shell(plan, "echo 'no such flag' >&2; exit 3")
    with pytest.raises(ClusterError, match="no such flag") as caught:  # noqa: PT012 - either step may tell
        start(plan, part, "key")
        wait_until_ready(plan, part, 20)
    assert "tried" in str(caught.value)


def test_an_account_has_no_rights_but_those_named(plan: Plan) -> None:
    account = Account(198_180, 198_180, ("net_bind_service",))
    script = 'id -u; id -G; grep -E "^(CapEff|NoNewPrivs)" /proc/self/status; sleep 60'
    plan.run.mkdir(parents=True)
    part = replace(a_shell(plan, script), account=account, ready=Probe("command", ("true",)))
    start(plan, part, "key")
    log = log_file(plan, "tried")
    wait_until_ready(plan, replace(part, ready=Probe("command", ("grep", "-q", "NoNewPrivs", str(log)))), 20)
    assert log.read_text().split() == [
        *("198180", "198180"),
        *("CapEff:", f"{1 << 10:016x}", "NoNewPrivs:", "1"),
    ]
