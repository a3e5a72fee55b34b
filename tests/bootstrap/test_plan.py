"""Where the cluster lies, from the environment."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from knative.bootstrap import plan as places
from knative.bootstrap.plan import Profile, plan_from


def test_the_defaults_are_folders_of_the_system_and_a_cache_of_the_user() -> None:
    plan = plan_from({"HOME": "/home/ann"}, Profile.DURABLE)
    assert (plan.state, plan.run) == (Path("/var/lib/ingot-cluster"), Path("/run/ingot-cluster"))
    assert plan.cache == Path("/home/ann/.cache/ingot/cluster")
    assert plan.kubeconfig.is_relative_to(plan.state)


def test_another_name_is_another_cluster_in_every_place_that_is_shared() -> None:
    one, other = (plan_from({"INGOT_CLUSTER_NAME": name}, Profile.FAST) for name in ("ingot", "try"))
    for place in ("state", "run", "pods_cgroup", "parts_cgroup", "network_name"):
        assert getattr(one, place) != getattr(other, place)
    assert one.cache == other.cache


@pytest.mark.parametrize("folder", ["/", "/var", "relative/folder", "/var/..", ".", "/srv/a b", '/srv/a"b'])
def test_a_folder_that_must_not_be_removed_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match="INGOT_CLUSTER_STATE"):
        plan_from({"INGOT_CLUSTER_STATE": folder}, Profile.FAST)


@pytest.mark.parametrize("name", ["../up", "Ingot", "a" * 21, "-a", "a b"])
def test_a_name_that_is_no_part_of_a_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="INGOT_CLUSTER_NAME"):
        plan_from({"INGOT_CLUSTER_NAME": name}, Profile.FAST)


def test_every_address_is_of_the_range_that_no_network_has() -> None:
    whole = ipaddress.IPv4Network(places.NETWORK)
    assert whole == ipaddress.IPv4Network("198.18.0.0/15")
    pods, services = ipaddress.IPv4Network(places.PODS), ipaddress.IPv4Network(places.SERVICES)
    node = ipaddress.ip_address(places.NODE_ADDRESS)
    assert pods.subnet_of(whole)
    assert services.subnet_of(whole)
    assert node in whole
    assert not pods.overlaps(services)
    assert node not in pods
    assert node not in services
    assert ipaddress.ip_address(places.FIRST_SERVICE) == services[1]
