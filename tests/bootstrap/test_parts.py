"""The parts: their order, what makes one start anew, and that none listens to the world."""

from __future__ import annotations

import json
import re
import signal
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knative.bootstrap.cluster import parts_of
from knative.bootstrap.configs import config_files, containerd
from knative.bootstrap.part import Account, Part, Probe, in_order
from knative.bootstrap.plan import REGISTRY, Profile
from knative.bootstrap.stores import Passwords, postgres_settings
from tests.bootstrap.samples import a_plan

_PASSWORDS = Passwords("r", "pa", "p", "s")
_PROBE = Probe("socket", "/s")


def a_part(name: str, *needs: str) -> Part:
    return Part(name, (f"/bin/{name}",), _PROBE, needs=needs)


def test_each_part_comes_after_what_it_needs() -> None:
    order = [part.name for part in in_order([a_part("c", "a", "b"), a_part("b", "a"), a_part("a")])]
    assert order == ["a", "b", "c"]


def test_parts_that_wait_for_each_other_are_named() -> None:
    with pytest.raises(ValueError, match="b, c"):
        in_order([a_part("a"), a_part("b", "c"), a_part("c", "b")])


def test_a_part_starts_anew_when_what_it_reads_or_is_changes() -> None:
    path = Path("/etc/part")
    part = Part("a", ("/bin/a", "--flag"), _PROBE, reads=(path,))
    same = part.key({path: b"one"}, "build")
    others = {
        part.key({path: b"two"}, "build"),
        part.key({path: b"one"}, "another build"),
        Part("a", ("/bin/a",), _PROBE, reads=(path,)).key({path: b"one"}, "build"),
        Part("a", ("/bin/a", "--flag"), _PROBE, account=Account(1, 1), reads=(path,)).key(
            {path: b"one"}, "build"
        ),
        Part("a", ("/bin/a", "--flag"), _PROBE, environment={"A": "1"}, reads=(path,)).key(
            {path: b"one"}, "build"
        ),
    }
    assert len(others) == 5
    assert same not in others
    # How it is asked and ended does not change the process.
    assert (
        Part("a", ("/bin/a", "--flag"), _PROBE, reads=(path,), patience=99).key({path: b"one"}, "build")
        == same
    )


def test_the_whole_cluster_has_an_order() -> None:
    order = [part.name for part in in_order(parts_of(a_plan(), _PASSWORDS))]
    for first, later in (
        ("etcd", "kube-apiserver"),
        ("kube-apiserver", "kubelet"),
        ("containerd", "kubelet"),
    ):
        assert order.index(first) < order.index(later)
    assert len(order) == len(set(order))


def test_no_part_is_told_to_listen_on_every_address() -> None:
    told = [word for part in parts_of(a_plan(), _PASSWORDS) for word in part.command]
    told += config_files(a_plan(), "pause", "secret").values()
    assert not any(re.search(r"0\.0\.0\.0(?!/0)|\[::\]|=:\d|\"addr\": \":", text) for text in told)


def test_passwords_are_in_no_command_line() -> None:
    secret = Passwords("secret-r", "secret-a", "secret-p", "secret-s")
    words = " ".join(word for part in parts_of(a_plan(), secret) for word in part.command)
    assert "secret-" not in words


def test_only_the_durable_profile_waits_for_the_disk() -> None:
    def told(profile: Profile) -> str:
        return " ".join(" ".join(part.command) for part in parts_of(a_plan(profile=profile), _PASSWORDS))

    assert "--unsafe-no-fsync" in told(Profile.FAST)
    assert "--unsafe-no-fsync" not in told(Profile.DURABLE)
    assert postgres_settings(a_plan(profile=Profile.FAST))["fsync"] == "off"
    assert not {"fsync", "synchronous_commit", "full_page_writes"} & postgres_settings(a_plan()).keys()


def test_postgres_is_not_asked_to_wait_for_its_clients() -> None:
    postgres = next(part for part in parts_of(a_plan(), _PASSWORDS) if part.name == "postgres")
    assert postgres.stop_signal is signal.SIGINT


def test_what_holds_data_or_talks_to_pods_is_not_root_and_gains_nothing() -> None:
    accounts = {part.name: part.account for part in parts_of(a_plan(), _PASSWORDS)}
    for name in ("etcd", "registry", "postgres", "s3", "coredns"):
        account = accounts[name]
        assert account is not None
        assert account.user > 65_535
        assert set(account.capabilities) <= {"net_bind_service"}


@given(st.text(max_size=40))
def test_a_password_of_any_characters_stays_one_value_of_containerd(password: str) -> None:
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in password):
        return
    cri = tomllib.loads(containerd(a_plan(), "pause@sha256:1", password))["plugins"][
        "io.containerd.grpc.v1.cri"
    ]
    assert cri["registry"]["configs"][REGISTRY]["auth"] == {"username": "ingot", "password": password}
    assert cri["restrict_oom_score_adj"] is True
    assert cri["sandbox_image"] == "pause@sha256:1"


def test_the_configuration_lies_below_the_clusters_own_folders() -> None:
    text = "".join(config_files(a_plan(Path("/srv/here")), "pause", "secret").values())
    foreign = set(re.findall(r"(?<![\w.:/])/[a-z][\w./-]+", text)) - {"/usr/lib/cni"}
    assert {path for path in foreign if not path.startswith("/srv/here/")} == {"/ingot"}


def test_pods_are_neither_masqueraded_nor_given_other_name_servers() -> None:
    files = config_files(a_plan(), "pause", "secret")
    bridge = json.loads(files["cni/10-ingot.conflist"])["plugins"][0]
    assert bridge["ipMasq"] is False
    assert "nameserver" not in files["resolv.conf"]
    assert "forward" not in files["Corefile"]


def test_the_kubelets_pod_relist_is_the_stock_one() -> None:
    kubelet = json.loads(config_files(a_plan(), "pause", "secret")["kubelet.yaml"])
    assert "featureGates" not in kubelet
