"""What the cluster promises as a whole: it survives kills, keeps to this machine, asks for passwords."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg
import pytest

from knative.bootstrap.cgroups import part_cgroup, processes_in
from knative.bootstrap.configs import REGISTRY_USER
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.network import FIREWALL_TABLE
from knative.bootstrap.plan import NETWORK, NODE_ADDRESS, REGISTRY, Plan
from knative.bootstrap.processes import main_process
from knative.bootstrap.status import status
from knative.bootstrap.stores import Passwords
from tests.cluster.conftest import bring_up

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PARTS = (
    *("containerd", "registry", "etcd", "postgres", "s3", "kube-apiserver", "kube-controller-manager"),
    *("kube-scheduler", "kubelet", "kube-proxy", "coredns", "gateway", "ingress"),
)


def passwords(plan: Plan) -> Passwords:
    return Passwords(**json.loads((plan.credentials / "passwords.json").read_bytes()))


@pytest.fixture(scope="module", autouse=True)
def _of_this_checkout(cluster: Plan) -> None:
    """Bring up what another checkout started otherwise, so that what changes later was killed here."""
    bring_up(cluster)


@pytest.mark.parametrize("name", PARTS)
def test_up_restarts_a_part_that_was_killed_and_no_other(cluster: Plan, name: str) -> None:
    before = {part: main_process(cluster, part) for part in PARTS}
    victim = before[name]
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    bring_up(cluster)
    after = {part: main_process(cluster, part) for part in PARTS}
    assert after[name] not in {None, victim}
    assert {part: pid for part, pid in after.items() if part != name} == {
        part: pid for part, pid in before.items() if part != name
    }
    assert all(line.fine for line in status(cluster))


def test_up_starts_a_part_anew_that_runs_and_answers_nobody(cluster: Plan) -> None:
    before = main_process(cluster, "coredns")
    assert before is not None
    os.kill(before, signal.SIGSTOP)
    bring_up(cluster)
    assert main_process(cluster, "coredns") not in {None, before}
    assert all(line.fine for line in status(cluster))


def test_pods_outlive_the_container_runtime(cluster: Plan, kubectl: Kubectl) -> None:
    def containers() -> dict[str, int]:
        pods = kubectl.get("pods", "--namespace", "knative-serving")["items"]
        return {
            pod["metadata"]["uid"]: sum(one["restartCount"] for one in pod["status"]["containerStatuses"])
            for pod in pods
        }

    before = containers()
    victim = main_process(cluster, "containerd")
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    bring_up(cluster)
    assert containers() == before
    assert len(before) == 4


def test_every_listener_is_on_loopback_or_the_nodes_own_address(cluster: Plan) -> None:
    owned = {pid for part in PARTS for pid in _processes(cluster, part)}
    inodes = {inode for pid in owned for inode in _socket_inodes(pid)}
    listening = {address for address, inode in _listeners() if inode in inodes}
    assert {"127.0.0.1", NODE_ADDRESS} <= listening
    assert listening - {"127.0.0.1", "::1", NODE_ADDRESS} == set()


def test_no_address_of_the_cluster_takes_the_default_route(cluster: Plan) -> None:
    # One that no pod has, one beside the pods' range, one that no service has.
    for address in ("198.18.100.1", "198.18.200.1", "198.19.9.9"):
        command = ["ip", "route", "get", address]
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        assert said.returncode != 0 or " dev ingot" in said.stdout, said.stdout
    rules = subprocess.run(
        ["nft", "list", "table", "inet", FIREWALL_TABLE],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert rules.stdout.count(f"ip saddr {NETWORK} oifname != ") == 2


def test_the_registry_and_the_stores_ask_for_passwords(cluster: Plan) -> None:
    assert httpx.get(f"http://{REGISTRY}/v2/_catalog", timeout=10).status_code == 401
    known = (REGISTRY_USER, passwords(cluster).registry)
    catalog = httpx.get(f"http://{REGISTRY}/v2/_catalog", auth=known, timeout=10).json()
    assert "knative/activator" in catalog["repositories"]
    assert httpx.get(f"{passwords(cluster).s3_url}/ingot", timeout=10).status_code == 403
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=NODE_ADDRESS, user="ingot", dbname="ingot", password="guess", connect_timeout=10)
    with psycopg.connect(passwords(cluster).database_url, connect_timeout=10) as connection:
        found = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    assert found == (False,)


def test_etcd_answers_nobody_without_its_own_certificate(cluster: Plan) -> None:
    context = ssl.create_default_context(cafile=str(cluster.pki / "etcd-ca.crt"))
    # Another authority's: not even the administrator's counts.
    context.load_cert_chain(cluster.pki / "admin.crt", cluster.pki / "admin.key")
    with pytest.raises(httpx.TransportError):
        httpx.get("https://127.0.0.1:2379/version", verify=context, timeout=10)


def test_keys_and_passwords_are_roots_alone(cluster: Plan) -> None:
    for folder in (cluster.pki, cluster.credentials):
        assert folder.stat().st_mode & 0o077 == 0
    assert (cluster.config / "containerd.toml").stat().st_mode & 0o077 == 0
    for path in cluster.private("registry").iterdir():
        assert path.stat().st_mode & 0o077 == 0


def _processes(plan: Plan, part: str) -> set[int]:
    return processes_in(part_cgroup(plan, part))


def _socket_inodes(pid: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(path.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def _listeners() -> list[tuple[str, str]]:
    found = []
    for name, size in (("tcp", 4), ("tcp6", 16)):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                raw = bytes.fromhex(fields[1].split(":")[0])
                # Each group of four bytes is in the machine's order.
                ordered = b"".join(raw[at : at + 4][::-1] for at in range(0, size, 4))
                family = socket.AF_INET if size == 4 else socket.AF_INET6
                found.append((socket.inet_ntop(family, ordered), fields[9]))
    return found


def test_another_cluster_is_refused_beside_this_one_and_takes_nothing_away(cluster: Plan) -> None:
    def beside(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "knative.bootstrap", *arguments],
            env={**os.environ, "INGOT_CLUSTER_NAME": "beside"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    refused = beside("up", "--profile", "fast")
    assert refused.returncode == 1
    assert "the cluster called ingot has this network" in refused.stderr
    removed = beside("down")
    assert removed.returncode == 0, removed.stderr
    assert beside("status").returncode == 3
    assert all(line.fine for line in status(cluster))
