"""What the runtime does in a cluster beyond the port's contract: attestations, values, takedowns, git."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.cluster.attesting import trust_entry
from control_plane.adapters.cluster.runtime import ClusterRuntime, Keys
from control_plane.adapters.cluster.split_runtime import SplitRuntime
from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.adapters.embedded.runtime import EmbeddedRuntime
from control_plane.domain.desired import (
    HostState,
    HostTarget,
    Limits,
    ReleaseShare,
    Takedown,
    WantedRelease,
)
from control_plane.errors import Invalid, NotFound, Unavailable
from control_plane.ports import TestCall
from tests.operators.stage import digest
from tests.support.fake_runtime import FakeRuntime
from tests.support.function_host import until
from tests.support.played_cluster import PlayedCluster, image_of

NAMESPACE = "prj-shop"


@pytest.fixture
def cluster() -> Iterator[PlayedCluster]:
    with PlayedCluster() as played:
        yield played


def target(number: int, **fields: Any) -> HostTarget:
    plain = HostTarget(
        id=f"t{number:016x}",
        organization="org_acme",
        project="prj_shop",
        function="fn_orders",
        function_name="orders",
        version=f"ver_{number}",
        number=number,
        digest=digest(f"{number:x}"),
        runtime="python3.11",
        kind="handler",
        handler="main:execute",
        layers={},
        limits=Limits(memory_mb=128, timeout_ms=5_000, concurrency=2, instances=3),
    )
    return replace(plain, **fields)


def state(epoch: int, *targets: HostTarget, live: int = 0, **fields: Any) -> HostState:
    """Return a state whose calls go to one of the targets; the others stand by."""
    plain = WantedRelease(
        function="fn_orders",
        function_name="orders",
        organization="org_acme",
        project="prj_shop",
        number=epoch,
        digest=digest("e"),
        approvals=1,
        shares=(ReleaseShare(targets[live].id, 100),),
    )
    return HostState(epoch, targets, (replace(plain, **fields),))


def function(cluster: PlayedCluster) -> dict[str, Any]:
    body = cluster.api.get("functions", "orders", NAMESPACE)
    assert body is not None
    return body


def reason(cluster: PlayedCluster) -> str:
    body = function(cluster)
    for one in body.get("status", {}).get("conditions", ()):
        if one["type"] == "Ready" and one["observedGeneration"] == body["metadata"]["generation"]:
            return str(one["reason"])
    return ""


def test_a_release_becomes_an_attested_function_in_its_projects_namespace(cluster: PlayedCluster) -> None:
    cluster.runtime.apply(state(7, target(1)))
    spec = function(cluster)["spec"]
    assert spec.pop("attestation")["signatures"]
    assert spec == {
        "function": "fn_orders",
        "organization": "org_acme",
        "project": "prj_shop",
        "managedBy": "console",
        "release": {"number": 7, "digest": digest("e")},
        "versions": [
            {
                "name": "t0000000000000001",
                "number": 1,
                "digest": digest("1"),
                "image": image_of(target(1)),
                "percent": 100,
                "limits": {"memoryMb": 128, "timeoutMs": 5_000, "concurrency": 2, "instances": 3},
            }
        ],
    }
    place = cluster.api.get("namespaces", NAMESPACE)
    assert place is not None
    assert place["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    until(lambda: reason(cluster) == "Serving")


def test_what_is_pending_stands_by_until_it_answers(cluster: PlayedCluster) -> None:
    cluster.runtime.apply(state(1, target(1)))
    cluster.runtime.apply(state(2, target(1), target(2)))
    assert cluster.runtime.prepare(target(2).id, 10_000).ok
    shares = {one["name"]: one["percent"] for one in function(cluster)["spec"]["versions"]}
    assert shares == {target(1).id: 100, target(2).id: 0}
    cluster.runtime.apply(state(3, target(1), target(2), live=1))
    shares = {one["name"]: one["percent"] for one in function(cluster)["spec"]["versions"]}
    assert shares == {target(1).id: 0, target(2).id: 100}


def test_the_same_release_is_not_written_again(cluster: PlayedCluster) -> None:
    cluster.runtime.apply(state(1, target(1)))
    written = function(cluster)["spec"]
    cluster.runtime.apply(replace(state(1, target(1)), epoch=2))
    assert function(cluster)["spec"] == written


def test_a_new_key_attests_anew_so_that_the_old_one_can_go(cluster: PlayedCluster) -> None:
    cluster.runtime.apply(state(1, target(1)))
    until(lambda: reason(cluster) == "Serving")
    signer = Ed25519Signer(b"n" * 32)
    renewed = ClusterRuntime(cluster.cluster, Keys(signer, cluster.sealer), image_of)
    _, entry = trust_entry(signer)
    cluster.stage.trust_entry(entry)
    renewed.apply(replace(state(1, target(1)), epoch=2))
    until(lambda: function(cluster)["status"].get("epoch") == 2 and reason(cluster) == "Serving")


def test_each_release_has_a_higher_epoch_than_the_one_before(cluster: PlayedCluster) -> None:
    cluster.runtime.apply(state(3, target(1)))
    until(lambda: reason(cluster) == "Serving")
    cluster.runtime.apply(state(8, target(2)))
    until(lambda: function(cluster)["status"].get("epoch") == 8)
    cluster.runtime.apply(state(9, target(1)))
    until(lambda: function(cluster)["status"].get("epoch") == 9 and reason(cluster) == "Serving")


def test_an_unreviewed_release_says_so_and_a_strict_cluster_refuses_it(cluster: PlayedCluster) -> None:
    public = cluster.signer.public_key()
    cluster.stage.trust_entry({"key": public, "approvals": 1})
    cluster.runtime.apply(state(1, target(1), approvals=0))
    prepared = cluster.runtime.prepare(target(1).id, 10_000)
    assert (prepared.ok, prepared.code) == (False, "not_admitted")
    assert "0 approvals" in prepared.message


def test_secret_values_are_opened_into_a_secret_that_nobody_changes(cluster: PlayedCluster) -> None:
    sealed = cluster.sealer.seal("org_acme", b"s3cret")
    with_secret = target(1, secrets={"TOKEN": sealed}, settings={"REGION": "eu"})
    cluster.runtime.apply(state(1, with_secret))
    name = "orders-t0000000000000001"
    secret = cluster.api.get("secrets", name, NAMESPACE)
    assert secret is not None
    assert secret["immutable"] is True
    assert base64.b64decode(secret["data"]["TOKEN"]) == b"s3cret"
    [version] = function(cluster)["spec"]["versions"]
    assert version["secrets"] == [{"name": "TOKEN", "secret": name, "key": "TOKEN"}]
    assert version["settings"] == {"REGION": "eu"}
    # The value itself stands nowhere else.
    assert "s3cret" not in str(function(cluster))
    cluster.runtime.apply(state(2, target(2)))
    assert cluster.api.get("secrets", name, NAMESPACE) is None


def test_another_tenants_value_is_never_opened(cluster: PlayedCluster) -> None:
    sealed = cluster.sealer.seal("org_other", b"s3cret")
    with pytest.raises(Invalid, match="cannot be opened"):
        cluster.runtime.apply(state(1, target(1, secrets={"TOKEN": sealed})))
    assert cluster.api.get("functions", "orders", NAMESPACE) is None


def test_a_takedown_ends_the_version_and_a_reinstatement_lets_it_back(cluster: PlayedCluster) -> None:
    cluster.runtime.apply(state(1, target(1)))
    until(lambda: reason(cluster) == "Serving")
    down = (Takedown("fn_orders", (digest("1"),)),)
    cluster.runtime.apply(replace(state(1, target(1)), epoch=2, takedowns=down))
    until(lambda: reason(cluster) == "TakenDown")
    until(lambda: cluster.stage.service("orders", NAMESPACE) is None)
    before = cluster.api.get("tombstones", "fn-orders")
    cluster.runtime.apply(replace(state(1, target(1)), epoch=3, takedowns=down))
    after = cluster.api.get("tombstones", "fn-orders")
    assert before is not None
    assert after is not None
    assert after["spec"] == before["spec"]
    cluster.runtime.apply(replace(state(1, target(1)), epoch=4))
    until(lambda: reason(cluster) == "Serving")


def test_a_function_without_a_release_is_deleted_and_others_stay(cluster: PlayedCluster) -> None:
    cluster.runtime.apply(state(1, target(1)))
    theirs = function(cluster)
    theirs["metadata"] = {"name": "theirs", "namespace": NAMESPACE}
    theirs["spec"] = theirs["spec"] | {"function": "fn_theirs"}
    cluster.api.put("functions", theirs)
    cluster.runtime.apply(HostState(2, ()))
    assert cluster.api.get("functions", "orders", NAMESPACE) is None
    assert cluster.api.get("functions", "theirs", NAMESPACE)


def test_what_git_manages_is_read_and_never_written(cluster: PlayedCluster) -> None:
    cluster.runtime.apply(state(1, target(1)))
    body = function(cluster)
    body["spec"]["managedBy"] = "git"
    cluster.api.put("functions", body)
    cluster.runtime.apply(state(2, target(2)))
    assert [one["number"] for one in function(cluster)["spec"]["versions"]] == [1]
    prepared = cluster.runtime.prepare(target(2).id, 10_000)
    assert (prepared.ok, prepared.code) == (False, "start_timeout")
    assert "`ingot release export`" in prepared.message
    # Nor is it deleted, although it still has the console's label.
    cluster.runtime.apply(HostState(3, ()))
    assert cluster.api.get("functions", "orders", NAMESPACE)


def test_previews_are_left_out(cluster: PlayedCluster) -> None:
    wanted = state(1, target(1))
    preview = target(2, function="pvw_1", volatile=True)
    cluster.runtime.apply(replace(wanted, targets=(*wanted.targets, preview)))
    assert [one["number"] for one in function(cluster)["spec"]["versions"]] == [1]
    with pytest.raises(NotFound):
        cluster.runtime.prepare(preview.id, 50)


def test_an_image_that_is_missing_fails_the_release_at_once(cluster: PlayedCluster) -> None:
    state_of = {"state": {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}}
    cluster.stage.knative.broken[image_of(target(1))] = state_of
    cluster.runtime.apply(state(1, target(1)))
    prepared = cluster.runtime.prepare(target(1).id, 10_000)
    assert (prepared.ok, prepared.code) == (False, "image_unavailable")
    assert "not in the registry" in prepared.message


def test_what_is_slow_is_a_time_out_and_not_a_failure(cluster: PlayedCluster) -> None:
    cluster.stage.knative.slow.add(image_of(target(1)))
    cluster.runtime.apply(state(1, target(1)))
    prepared = cluster.runtime.prepare(target(1).id, 300)
    assert (prepared.ok, prepared.code) == (False, "start_timeout")


def test_a_node_that_still_pulls_is_waited_for(cluster: PlayedCluster) -> None:
    patient = ClusterRuntime(cluster.cluster, Keys(cluster.signer, cluster.sealer), image_of, patience_s=10)
    cluster.stage.knative.slow.add(image_of(target(1)))
    patient.apply(state(1, target(1)))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(patient.prepare, target(1).id, 50)
        until(lambda: reason(cluster) == "Starting")
        cluster.stage.knative.slow.clear()
        assert waiting.result(10).ok


def test_the_gateway_connects_to_a_version_by_its_own_name(cluster: PlayedCluster) -> None:
    cluster.runtime.apply(state(1, target(1)))
    address = cluster.runtime.socket_path(target(1).id)
    assert address == f"http://t0000000000000001-orders.{NAMESPACE}.svc.cluster.local"
    assert cluster.runtime.prepare(target(1).id, 10_000).ok
    [version] = function(cluster)["status"]["versions"]
    assert version["url"] == address
    with pytest.raises(NotFound):
        cluster.runtime.socket_path("t0000000000000009")


def test_a_new_process_knows_what_the_one_before_wrote(cluster: PlayedCluster) -> None:
    cluster.runtime.apply(state(5, target(1)))
    fresh = ClusterRuntime(cluster.cluster, Keys(cluster.signer, cluster.sealer), image_of)
    assert fresh.prepare(target(1).id, 10_000).ok
    assert fresh.status()["epoch"] == 5


def test_a_draft_cannot_be_tried_in_a_cluster(cluster: PlayedCluster) -> None:
    with pytest.raises(Unavailable, match="function host"):
        cluster.runtime.test(target(1), TestCall("POST", "/", (), b"", 1_000))
    assert cluster.runtime.test_logs("run_1") == ()
    assert cluster.runtime.cancel_test("run_1") is False


def test_a_cluster_that_does_not_answer_is_unavailable() -> None:
    with PlayedCluster() as gone:
        runtime = gone.runtime
    with pytest.raises(Unavailable, match="does not answer"):
        runtime.status()


class TestSplit:
    """Releases in the cluster, drafts on the host."""

    def test_each_target_goes_where_it_can_run(self, cluster: PlayedCluster) -> None:
        host = FakeRuntime()
        split = SplitRuntime(host, cluster.runtime)
        preview = target(2, function="pvw_1", volatile=True)
        wanted = state(1, target(1))
        split.apply(replace(wanted, targets=(*wanted.targets, preview)))
        assert host.state.targets == (preview,)
        assert [one["number"] for one in function(cluster)["spec"]["versions"]] == [1]
        assert split.socket_path(preview.id) == host.socket_path(preview.id)
        assert split.socket_path(target(1).id) == cluster.runtime.socket_path(target(1).id)
        assert split.prepare(preview.id, 100).ok
        assert split.prepare(target(1).id, 10_000).ok
        assert set(split.status()["targets"]) == {target(1).id, preview.id}
        split.apply(replace(wanted, epoch=2))
        assert not host.state.targets

    def test_a_host_that_is_not_there_is_only_missed_when_it_is_needed(self, cluster: PlayedCluster) -> None:
        split = SplitRuntime(EmbeddedRuntime(Path("/nowhere"), Path("/nowhere")), cluster.runtime)
        split.apply(state(1, target(1)))
        assert split.prepare(target(1).id, 10_000).ok
        assert set(split.status()["targets"]) == {target(1).id}
        with pytest.raises(Unavailable):
            split.test_logs("run_1")

    def test_drafts_are_tried_on_the_host(self, cluster: PlayedCluster) -> None:
        host = FakeRuntime()
        split = SplitRuntime(host, cluster.runtime)
        assert split.test(target(1), TestCall("POST", "/", (), b"", 1_000)).status == 200
        assert split.cancel_test("run_1") is False
