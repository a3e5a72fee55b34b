"""From nothing to a cluster and back to nothing, in a network namespace of its own."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from knative.bootstrap import network
from knative.bootstrap.build import built_folders
from knative.bootstrap.cgroups import own_cgroups, processes_in, remove_cgroups
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.leftovers import remains
from knative.bootstrap.mounts import unmount_below
from knative.bootstrap.network import KERNEL_SETTINGS
from knative.bootstrap.plan import Plan, Profile, plan_from
from knative.bootstrap.stores import Passwords

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2_400)]

# Where programs of the cluster might leave something; deeper levels are other programs' business.
_LOOKED_AT = ("/run", "/var/lib", "/var/log", "/var/run", "/etc", "/opt", "/srv", "/usr/libexec", "/tmp")


# What goes on beside: another cluster on this machine, function hosts with their cgroups, other tests.
_OTHERS = re.compile(
    r"/(run|var/lib)/ingot-cluster|/sys/fs/cgroup/[^/]+/ingot-[0-9a-f]+$|/tmp/(?!cni|containerd|kube|runc|ingot-try)"
)
_NEW_NETWORK = 0x40000000
_NAME = "ingot-try"


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plan]:
    """Yield the plan of a durable cluster that does not exist yet; this thread sees its network."""
    if os.geteuid() != 0:
        pytest.skip("the cluster is root's")
    monkeypatch.setenv("INGOT_CLUSTER_NAME", _NAME)
    found = plan_from(os.environ, Profile.DURABLE)
    try:
        built = all(folder.is_dir() for folder in built_folders(found.cache).values())
    except ClusterError as error:
        pytest.skip(str(error))
    if not built:
        pytest.skip("the cluster's programs are not built (python -m knative.bootstrap build)")
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open() as former:
        assert libc.unshare(_NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
        try:
            said("ip", "link", "set", "lo", "up")
            yield found
            command("down")
        finally:
            assert libc.setns(former.fileno(), _NEW_NETWORK) == 0


def test_a_durable_cluster_keeps_what_it_was_given_and_leaves_nothing(plan: Plan) -> None:
    before = machine()
    for phase in range(6):
        break_off_after(phase)
    run("up")
    first = Passwords(**json.loads((plan.credentials / "passwords.json").read_bytes()))
    remember(plan, first)
    # As a power cut would: everything at once, pods included, and nobody may say goodbye. What the
    # kernel knew is gone too; the folder of pid files and sockets stays, as where it is no memory's.
    for cgroup in own_cgroups(plan):
        for pid in processes_in(cgroup):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    remove_cgroups(plan)
    unmount_below(plan.state)
    unmount_below(plan.run)
    network.remove(plan)
    assert plan.run.is_dir()
    run("up")
    assert remembered(plan, first) == ("kept", 1)
    run("down", "--keep-data")
    assert remains(plan, data_kept=True) == []
    assert plan.data("etcd").is_dir()
    refused = command("up", "--profile", "fast")
    assert refused.returncode == 1
    assert "made with the profile durable" in refused.stderr
    run("up")
    assert remembered(plan, first) == ("kept", 1)
    run("down")
    assert remains(plan) == []
    assert difference(before, machine()) == {}
    # Twice is as good as once.
    run("down")
    assert difference(before, machine()) == {}


def break_off_after(phase: int) -> None:
    """Kill `up` when it has told of so many phases; the next one has to go on from there."""
    program = [sys.executable, "-u", "-m", "knative.bootstrap", "up", "--profile", "durable"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(phase + 1)]
        process.kill()
    assert all(" s  " in line for line in told), told


def remember(plan: Plan, passwords: Passwords) -> None:
    """Write to etcd and to PostgreSQL."""
    metadata = {"name": "kept", "namespace": "default"}
    Kubectl(plan).apply(
        [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"is": "kept"}}]
    )
    with psycopg.connect(passwords.database_url, connect_timeout=10) as connection:
        connection.execute("CREATE TABLE kept (number integer)")
        connection.execute("INSERT INTO kept VALUES (1)")


def remembered(plan: Plan, passwords: Passwords) -> tuple[str, int]:
    """Return what was written."""
    found = Kubectl(plan).get("configmap", "kept", "--namespace", "default")["data"]["is"]
    with psycopg.connect(passwords.database_url, connect_timeout=10) as connection:
        row = connection.execute("SELECT number FROM kept").fetchone()
    assert row is not None
    return found, row[0]


def machine() -> dict[str, set[str]]:
    """Return what a cluster could leave on this machine, wherever."""
    cgroups = (path for path in Path("/sys/fs/cgroup").glob("*/*") if path.is_dir())
    files = (path for top in _LOOKED_AT for path in Path(top).glob("*"))
    return {
        "devices": set(said("ip", "-o", "link", "show", words=2)),
        "addresses": set(said("ip", "-o", "address", "show", words=4)),
        "routes": set(said("ip", "route", "show", "table", "all")),
        "rules": set(said("nft", "list", "ruleset")),
        "mounts": {point for point in mounts() if not _OTHERS.match(point)},
        "cgroups": {str(path) for path in cgroups if not _OTHERS.match(str(path))},
        "settings": {f"{name} {(Path('/proc/sys') / name).read_text()}" for name in KERNEL_SETTINGS},
        "files": {str(path) for path in files if not _OTHERS.match(str(path))},
    }


def difference(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return what came or went."""
    return {name: before[name] ^ after[name] for name in before if before[name] != after[name]}


def mounts() -> list[str]:
    """Return every mount point."""
    return [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]


def said(*words_: str, words: int = 0) -> list[str]:
    """Return the lines of a program, each cut to its first words."""
    done = subprocess.run(words_, capture_output=True, text=True, timeout=20, check=True)
    return [" ".join(line.split()[: words or None]) for line in done.stdout.splitlines()]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the bootstrap as a person does."""
    program = [sys.executable, "-m", "knative.bootstrap", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=1_800, check=False)


def run(*arguments: str) -> None:
    """Run the bootstrap; it must end well."""
    done = command(*arguments)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
