"""The cluster's addresses stay on the machine: the rules, tried in a network namespace of their own."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from knative.bootstrap.mounts import parse_mounts
from knative.bootstrap.network import firewall, raised

_OUTSIDE = """
import socket, subprocess, sys

def run(*words, given=None):
    subprocess.run(words, check=True, timeout=10, input=given, text=True)

def send(source, target):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        try:
            sender.sendto(b"?", (target, 9))
        except OSError:
            return "refused"
    return "sent"

run("ip", "link", "set", "lo", "up")
addresses = (("out0", "192.0.2.2/24"), ("ingot0", "198.18.255.1/32"), ("ingot-br0", "198.18.0.1/17"))
for name, address in addresses:
    run("ip", "link", "add", name, "type", "bridge")
    run("ip", "address", "add", address, "dev", name)
    run("ip", "link", "set", name, "up")
run("ip", "route", "add", "default", "via", "192.0.2.1", "dev", "out0")
cases = [
    ("192.0.2.2", "203.0.113.1"),
    ("198.18.255.1", "203.0.113.1"),
    ("192.0.2.2", "198.19.0.1"),
    ("192.0.2.2", "198.18.255.1"),
    ("198.18.255.1", "198.18.0.9"),
]
without = [send(*case) for case in cases]
for _ in range(2):
    run("nft", "-f", "-", given=sys.argv[1])
print(without, [send(*case) for case in cases])
"""


_POD = """
import os, socket, subprocess, sys, time

def run(*words, given=None):
    return subprocess.run(words, check=True, timeout=10, input=given, text=True, capture_output=True).stdout

def listener(port):
    found = socket.create_server(("0.0.0.0", port))
    found.settimeout(5)
    return found

run("ip", "link", "set", "lo", "up")
for name, address in (("ingot0", "198.18.255.1/32"), ("ingot-br0", "198.18.0.1/17")):
    run("ip", "link", "add", name, "type", "bridge")
    run("ip", "address", "add", address, "dev", name)
    run("ip", "link", "set", name, "up")
pod = subprocess.Popen(["unshare", "--net", "sleep", "60"])
inside = ("nsenter", f"--net=/proc/{pod.pid}/ns/net")
while os.readlink(f"/proc/{pod.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
    time.sleep(0.01)
run("ip", "link", "add", "host0", "type", "veth", "peer", "name", "pod0")
run("ip", "link", "set", "pod0", "netns", str(pod.pid))
run("ip", "link", "set", "host0", "master", "ingot-br0")
run("ip", "link", "set", "host0", "up")
run(*inside, "ip", "address", "add", "198.18.0.9/17", "dev", "pod0")
run(*inside, "ip", "link", "set", "pod0", "up")
run(*inside, "ip", "route", "add", "default", "via", "198.18.0.1")
run("nft", "-f", "-", given=sys.argv[1])
kept = [listener(port) for port in (22, 5000, 25_000)]
ask = "import socket, sys; print(socket.socket().connect_ex((sys.argv[1], int(sys.argv[2]))))"
cases = [("198.18.255.1", 22), ("198.18.0.1", 22), ("198.18.255.1", 5000), ("198.18.255.1", 25_000)]
said = [run(*inside, sys.executable, "-c", ask, address, str(port)).strip() for address, port in cases]
pod.kill()
pod.wait()
print(said)
"""


def in_a_network_of_its_own(script: str) -> str:
    """Run a script that is given the rules; returns what it printed."""
    command = ["unshare", "--net", sys.executable, "-c", script, firewall()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if "'nft'" in done.stderr:
        pytest.skip("nft is not installed (apt install nftables)")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace is root's to make")
def test_what_comes_from_or_goes_to_the_cluster_never_takes_another_device() -> None:
    # Ordinary traffic and the cluster's own go on; only what would leave is refused.
    expected = str(["sent"] * 5) + " " + str(["sent", "refused", "refused", "sent", "sent"])
    assert in_a_network_of_its_own(_OUTSIDE) == expected


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace is root's to make")
def test_pods_reach_the_clusters_ports_and_none_of_the_machines_own_services() -> None:
    refused, fine = str(errno.ECONNREFUSED), "0"
    assert in_a_network_of_its_own(_POD) == str([refused, refused, fine, fine])


def test_a_setting_of_the_kernel_is_raised_and_never_lowered() -> None:
    assert raised({"a": 5, "b": 5, "c": 5}, {"a": 4, "b": 5, "c": 9}) == {"a": 5}


def test_mount_points_are_read_as_the_kernel_writes_them() -> None:
    text = (
        "22 1 0:21 / /proc rw,relatime - proc proc rw\n"
        "23 1 0:22 / /srv/a\\040folder rw shared:1 - tmpfs tmpfs rw\n"
        "broken\n"
    )
    assert parse_mounts(text) == ["/proc", "/srv/a folder"]
