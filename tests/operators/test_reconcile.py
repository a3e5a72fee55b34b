"""Looks at Functions against a fake API server: what is written, what is not, and what the status says."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from control_plane.domain.attestations import key_id
from operators.cluster import Outdated, Refused, Unreachable
from operators.leadership import NotLeading
from tests.operators.stage import Stage, digest, function_body, image, version


def test_a_function_becomes_a_service_and_says_that_it_serves(stage: Stage) -> None:
    stage.write(function_body())
    stage.settle()
    assert stage.traffic() == {"1": 100}
    assert stage.condition() == ("True", "Serving", "")
    status = stage.status()
    assert status["observedGeneration"] == 1
    assert status["url"] == "http://orders.shop.svc.cluster.local"
    assert [one["url"] for one in status["versions"]] == ["http://v1-orders.shop.svc.cluster.local"]
    assert stage.api.get("serviceaccounts", "orders-function", "shop")
    assert stage.api.get("networkpolicies", "orders", "shop")


def test_another_look_writes_nothing(stage: Stage) -> None:
    stage.write(function_body(version(1, 60), version(2, 40), domains=["orders.example.com"]))
    stage.settle()
    stage.api.changed()
    stage.look()
    assert stage.api.changed() == []


def test_ready_is_unknown_before_it_is_true(stage: Stage) -> None:
    stage.knative.slow.add(image("1"))
    stage.write(function_body())
    stage.settle()
    assert stage.condition() == ("Unknown", "Starting", "Version v1: waiting for its first instance.")
    stage.knative.slow.clear()
    stage.settle()
    assert stage.condition()[0] == "True"


def test_the_old_version_serves_until_the_new_one_answers(stage: Stage) -> None:
    stage.write(function_body())
    stage.settle()
    stage.knative.slow.add(image("2"))
    stage.write(function_body(version(2)), epoch=2)
    stage.settle()
    assert stage.traffic() == {"1": 100}
    assert stage.condition("Routed")[:2] == ("Unknown", "WaitingForVersions")
    stage.knative.slow.clear()
    stage.settle()
    assert stage.traffic() == {"2": 100}
    assert stage.condition()[0] == "True"


def test_several_versions_come_one_after_another_and_share_the_calls(stage: Stage) -> None:
    stage.write(function_body(version(1, 50), version(2, 30), version(3, 20, tag="canary")))
    stage.settle()
    assert stage.traffic() == {"1": 50, "2": 30, "3": 20}
    service = stage.service()
    assert service is not None
    tags = {one["tag"]: one["percent"] for one in service["spec"]["traffic"] if "tag" in one}
    assert tags == {"v1": 0, "v2": 0, "v3": 0, "canary": 0}


def test_a_version_at_zero_percent_that_never_starts_holds_up_nobody(stage: Stage) -> None:
    stage.write(function_body())
    stage.settle()
    stage.knative.broken[image("2")] = {
        "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    }
    stage.write(function_body(version(1, 60), version(2, 0), version(3, 40)), epoch=2)
    stage.settle()
    assert stage.traffic() == {"1": 60, "3": 40}
    assert stage.condition("VersionsReady")[:2] == ("False", "ImageMissing")
    assert stage.condition("Routed")[0] == "True"
    assert [one["name"] for one in stage.status()["versions"] if "url" in one] == ["v1", "v3"]


def test_a_broken_release_names_the_reason_and_what_served_goes_on(stage: Stage) -> None:
    stage.write(function_body())
    stage.settle()
    last = {"terminated": {"exitCode": 1, "message": "ZeroDivisionError: division by zero"}}
    crash = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last, "restartCount": 2}
    stage.knative.broken[image("2")] = crash
    stage.write(function_body(version(2)), epoch=2)
    stage.settle()
    status, reason, message = stage.condition()
    assert (status, reason) == ("False", "Crashed")
    assert message == (
        "Version v2: The code ended 2 times with exit code 1: ZeroDivisionError: division by zero"
    )
    assert stage.traffic() == {"1": 100}


def test_a_used_up_quota_is_said_while_no_pod_is_there(stage: Stage) -> None:
    stage.knative.slow.add(image("1"))
    stage.write(function_body())
    stage.settle()
    [revision] = [one["revision"] for one in stage.status()["versions"]]
    message = "pods is forbidden: exceeded quota: small, requested: pods=1"
    failure = {"type": "ReplicaFailure", "status": "True", "message": message}
    labels = {"ingot.dev/function": "fn_orders", "serving.knative.dev/revision": revision}
    stage.api.put(
        "deployments",
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": revision, "namespace": "shop", "labels": labels},
            "status": {"conditions": [failure]},
        },
    )
    stage.look()
    assert stage.condition()[1] == "QuotaExceeded"


def test_drift_is_corrected(stage: Stage) -> None:
    stage.write(function_body())
    stage.settle()
    service = stage.service()
    assert service is not None
    template = copy.deepcopy(service["spec"]["template"])
    service["spec"]["template"] = _another(service["spec"]["template"])
    stage.api.put("services", service)
    stage.cluster.delete(_kind("networkpolicies"), "shop", "orders")
    stage.look()
    corrected = stage.service()
    assert corrected is not None
    assert corrected["spec"]["template"]["spec"]["containers"][0]["image"] == image("1")
    assert corrected["spec"]["template"]["metadata"]["name"] == template["metadata"]["name"]
    assert stage.api.get("networkpolicies", "orders", "shop")


def _another(template: dict[str, Any]) -> dict[str, Any]:
    """Return a template with another image; Knative lets nobody change one under the same name."""
    template["metadata"]["name"] = "orders-drifted"
    template["spec"]["containers"][0]["image"] = image("f")
    return template


def _kind(plural: str) -> Any:
    from operators import kinds

    return next(one for one in vars(kinds).values() if isinstance(one, kinds.Kind) and one.plural == plural)


def test_what_others_add_to_an_object_stays(stage: Stage) -> None:
    stage.write(function_body())
    stage.settle()
    service = stage.service()
    assert service is not None
    service["metadata"]["annotations"]["team"] = "a"
    stage.api.put("services", service)
    stage.api.changed()
    stage.look()
    assert [one for one in stage.api.changed() if one[1] == "services"] == []


def test_a_value_that_is_wanted_no_more_goes(stage: Stage) -> None:
    stage.write(function_body(domains=["a.example.com", "b.example.com"], triggers=[_trigger("one")]))
    stage.settle()
    assert stage.condition("DomainsReady")[0] == "True"
    assert stage.condition("TriggersReady")[0] == "True"
    stage.write(function_body(domains=["b.example.com"]), epoch=2)
    stage.settle()
    assert stage.api.get("domainmappings", "a.example.com", "shop") is None
    assert stage.api.get("domainmappings", "b.example.com", "shop")
    assert stage.api.get("triggers", "orders-one", "shop") is None
    assert stage.condition("TriggersReady") == ("", "", "")


def _trigger(name: str) -> dict[str, Any]:
    return {"name": name, "broker": "default", "attributes": {"type": "x"}}


def test_an_object_of_the_same_name_that_is_not_ours_is_left_alone(stage: Stage) -> None:
    theirs = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {"template": {"metadata": {"name": "theirs"}, "spec": {"containers": [{"image": "x"}]}}},
    }
    stage.api.put("services", theirs)
    stage.write(function_body())
    stage.look()
    assert stage.condition()[:2] == ("False", "Refused")
    assert "belongs to somebody else" in stage.condition()[2]
    service = stage.service()
    assert service is not None
    assert service["spec"] == theirs["spec"]


def test_what_the_cluster_refuses_is_said_in_its_words(stage: Stage) -> None:
    stage.api.refusals["services", "orders"] = (400, "admission webhook denied: no such runtime class")
    stage.write(function_body())
    stage.look()
    assert stage.condition()[:2] == ("False", "Refused")
    assert "no such runtime class" in stage.condition()[2]


def test_a_webhook_that_is_down_is_tried_again(stage: Stage) -> None:
    stage.api.refusals["services", "orders"] = (500, "failed calling webhook: connection refused")
    stage.write(function_body())
    with pytest.raises(Unreachable, match="failed calling webhook"):
        stage.look()
    stage.api.refusals.clear()
    stage.settle()
    assert stage.condition()[0] == "True"


def test_deleting_a_function_leaves_only_what_is_remembered(stage: Stage) -> None:
    stage.write(function_body(domains=["orders.example.com"]))
    stage.settle()
    stage.cluster.delete(_kind("functions"), "shop", "orders")
    stage.look()
    assert sorted({plural for plural, _, _ in stage.api.objects}) == ["admissions", "configmaps"]


def test_a_function_that_is_being_deleted_is_not_made_again(stage: Stage) -> None:
    stage.write(function_body())
    body = stage.api.get("functions", "orders", "shop")
    assert body is not None
    body["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    stage.api.put("functions", body)
    stage.look()
    assert stage.service() is None


class TestAdmission:
    """No unapproved digest ever runs."""

    def test_nothing_is_made_for_an_unsigned_function(self, stage: Stage) -> None:
        stage.cluster.apply(function_body(), "kubectl")
        stage.look()
        assert stage.condition()[:2] == ("False", "AttestationMissing")
        assert stage.service() is None
        types = {one["type"]: one["status"] for one in stage.status()["conditions"]}
        assert types["Stalled"] == "True"

    def test_an_edited_spec_is_refused_and_the_admitted_one_goes_on_and_is_kept(self, stage: Stage) -> None:
        stage.write(function_body())
        stage.settle()
        body = stage.attested(function_body())
        body["spec"]["versions"][0]["image"] = image("f")
        stage.cluster.apply(body, "kubectl")
        stage.settle()
        assert stage.condition()[:2] == ("False", "NotAttested")
        assert stage.traffic() == {"1": 100}
        # While the new one is refused, drift of the old one is corrected still.
        service = stage.service()
        assert service is not None
        service["spec"]["template"] = _another(service["spec"]["template"])
        stage.api.put("services", service)
        stage.look()
        assert _images(stage) == {image("1")}

    def test_a_replayed_release_is_refused(self, stage: Stage) -> None:
        stage.write(function_body(version(1)), epoch=1)
        stage.settle()
        stage.write(function_body(version(2)), epoch=2)
        stage.settle()
        stage.write(function_body(version(1)), epoch=1)
        stage.settle()
        assert stage.condition()[:2] == ("False", "Replayed")
        assert stage.traffic() == {"2": 100}

    def test_a_release_is_refused_as_replayed_even_after_its_function_was_deleted(self, stage: Stage) -> None:
        stage.write(function_body(version(2)), epoch=2)
        stage.settle()
        stage.cluster.delete(_kind("functions"), "shop", "orders")
        stage.write(function_body(version(1)), epoch=1)
        stage.settle()
        assert stage.condition()[:2] == ("False", "Replayed")
        # What was admitted there goes on under the new resource: it was never taken down.
        assert stage.traffic() == {"2": 100}

    def test_a_rollback_is_a_new_release_and_uses_the_revision_that_is_there(self, stage: Stage) -> None:
        stage.write(function_body(version(1)), epoch=1)
        stage.settle()
        [first] = [one["revision"] for one in stage.status()["versions"]]
        stage.write(function_body(version(2)), epoch=2)
        stage.settle()
        stage.write(function_body(version(1)), epoch=3)
        stage.settle()
        assert stage.traffic() == {"1": 100}
        assert [one["revision"] for one in stage.status()["versions"]] == [first]

    def test_a_release_moved_to_another_namespace_or_name_is_refused(self, stage: Stage) -> None:
        body = stage.attested(function_body())
        stage.cluster.apply(body, "kubectl")
        for meta in ({"name": "orders", "namespace": "staging"}, {"name": "returns", "namespace": "shop"}):
            stage.cluster.apply({**body, "metadata": meta}, "kubectl")
            stage.settle(**meta)
            conditions = stage.status(**meta)["conditions"]
            assert {one["type"]: one["reason"] for one in conditions}["Admitted"] == "Moved"
            assert stage.service(**meta) is None

    def test_a_function_may_move_by_a_release_and_the_old_place_ends(self, stage: Stage) -> None:
        stage.write(function_body())
        stage.settle()
        there = function_body() | {"metadata": {"name": "orders", "namespace": "staging"}}
        stage.write(there, epoch=2)
        stage.settle(namespace="staging")
        stage.settle()
        assert stage.service(namespace="staging")
        assert stage.condition()[:2] == ("False", "Replayed")
        assert stage.service() is None

    def test_a_taken_down_version_ends_and_never_comes_back(self, stage: Stage) -> None:
        stage.write(function_body())
        stage.settle()
        stage.bury(1, digest("1"))
        stage.settle()
        assert stage.condition()[:2] == ("False", "TakenDown")
        assert stage.service() is None
        # Neither by another epoch, nor by deleting tombstone and function.
        stage.cluster.delete(_kind("tombstones"), "", "fn-orders")
        stage.cluster.delete(_kind("functions"), "shop", "orders")
        stage.write(function_body(), epoch=99)
        stage.settle()
        assert stage.condition()[:2] == ("False", "TakenDown")
        assert stage.service() is None

    def test_a_review_lets_a_version_back(self, stage: Stage) -> None:
        stage.write(function_body())
        stage.settle()
        stage.bury(1, digest("1"))
        stage.settle()
        stage.bury(2)
        stage.settle()
        assert stage.traffic() == {"1": 100}

    def test_an_old_tombstone_does_not_undo_a_newer_one(self, stage: Stage) -> None:
        stage.write(function_body())
        stage.bury(2, digest("1"))
        stage.bury(1)
        body = stage.api.get("tombstones", "fn-orders")
        assert body is not None
        assert body["status"]["conditions"][0]["reason"] == "Replayed"
        stage.settle()
        assert stage.condition()[1] == "TakenDown"

    def test_a_canary_that_was_taken_down_loses_its_calls_at_once(self, stage: Stage) -> None:
        stage.write(function_body(version(1, 90), version(2, 10)))
        stage.settle()
        stage.bury(1, digest("2"))
        stage.knative.slow.add(image("3"))
        stage.write(function_body(version(1, 90), version(3, 10)), epoch=2)
        stage.settle()
        assert stage.traffic() == {"1": 90, "3": 10} or stage.traffic() == {"1": 100}
        assert not [
            key for key in stage.api.objects if key[0] == "revisions" and _digest(stage, key) == digest("2")
        ]

    def test_a_tombstone_below_a_minimum_ends_every_older_release(self, stage: Stage) -> None:
        stage.write(function_body(), epoch=4)
        stage.settle()
        stage.bury(1, minimum=5)
        stage.settle()
        assert stage.condition()[1] == "TakenDown"
        stage.write(function_body(), epoch=5)
        stage.settle()
        assert stage.condition()[0] == "True"

    def test_a_key_that_is_trusted_no_more_admits_nothing_new(self, stage: Stage) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        stage.write(function_body())
        stage.settle()
        stage.trust(Ed25519PrivateKey.from_private_bytes(b"n" * 32))
        stage.write(function_body(version(2)), epoch=2)
        stage.settle()
        assert stage.condition()[:2] == ("False", "NotTrusted")
        assert stage.traffic() == {"1": 100}


def _images(stage: Stage) -> set[str]:
    service = stage.service()
    assert service is not None
    return {one["image"] for one in service["spec"]["template"]["spec"]["containers"]}


def _digest(stage: Stage, key: tuple[str, str, str]) -> str:
    return str(stage.api.objects[key]["metadata"]["annotations"]["ingot.dev/digest"])


class TestFencing:
    """Two operators believe that they lead; only the newer one writes."""

    def test_an_older_leader_writes_nothing_at_all(self, stage: Stage) -> None:
        stage.fence = 5
        stage.write(function_body())
        stage.settle()
        stage.fence = 4
        stage.write(function_body(version(2)), epoch=2)
        stage.api.changed()
        with pytest.raises(Refused, match="self >= oldSelf"):
            stage.look()
        assert stage.api.changed() == []

    def test_a_leader_that_loses_the_lease_in_the_middle_stops_there(self, stage: Stage) -> None:
        stage.write(function_body())
        asked: list[int] = []

        def lose() -> None:
            asked.append(1)
            if len(asked) == 3:
                raise NotLeading

        stage.before_fence = lose
        with pytest.raises(NotLeading):
            stage.look()
        assert stage.api.get("serviceaccounts", "orders-function", "shop")
        assert stage.service() is None

    def test_a_leader_that_slept_overwrites_nothing_that_changed_meanwhile(self, stage: Stage) -> None:
        stage.write(function_body())
        stage.settle()
        stage.write(function_body(version(2)), epoch=2)
        real = stage.cluster.apply

        def late(manifest: Any, manager: str, **fields: Any) -> dict[str, Any]:
            if manifest["kind"] == "Service":
                service = stage.service()
                assert service is not None
                service["metadata"]["annotations"]["newer"] = "leader"
                stage.api.put("services", service)
            return real(manifest, manager, **fields)

        stage.cluster.apply = late  # type: ignore[method-assign]
        with pytest.raises(Outdated):
            stage.look()
        assert _images(stage) == {image("1")}

    def test_what_was_admitted_is_remembered_before_anything_runs(self, stage: Stage) -> None:
        stage.write(function_body())
        stage.api.refusals["admissions", "fn-orders"] = (500, "etcd is gone")
        with pytest.raises(Unreachable):
            stage.look()
        assert stage.service() is None


HOP = base64.b64encode(b"g" * 32).decode()
NEXT = base64.b64encode(b"n" * 32).decode()


def hop_environment(stage: Stage) -> dict[str, str]:
    service = stage.service()
    assert service is not None
    listed = service["spec"]["template"]["spec"]["containers"][0]["env"]
    return {one["name"]: one["value"] for one in listed if one["name"].startswith("INGOT_HOP")}


def test_pods_ask_for_the_gateways_token_where_the_trust_list_names_its_key(stage: Stage) -> None:
    stage.write(function_body())
    stage.settle()
    assert hop_environment(stage) == {}
    stage.trust(hop=[HOP], namespaces=["sh*"])
    stage.settle()
    known = f"{key_id(b'g' * 32)}:{HOP}"
    assert hop_environment(stage) == {"INGOT_HOP_FUNCTION": "fn_orders", "INGOT_HOP_KEYS": known}
    assert stage.condition()[0] == "True"
    # Both count while one replaces the other, in an order that is always the same.
    stage.trust(hop=[NEXT, HOP])
    stage.settle()
    both = sorted([known, f"{key_id(b'n' * 32)}:{NEXT}"])
    assert hop_environment(stage)["INGOT_HOP_KEYS"] == " ".join(both)


def test_what_serves_goes_on_until_an_instance_with_the_new_key_answers(stage: Stage) -> None:
    stage.write(function_body())
    stage.settle()
    before = stage.service()
    assert before is not None
    stage.knative.slow.add(image("1"))
    stage.trust(hop=[HOP])
    stage.settle()
    during = stage.service()
    assert during is not None
    assert during["spec"]["template"]["metadata"]["name"] != before["spec"]["template"]["metadata"]["name"]
    assert [one for one in during["spec"]["traffic"] if one["percent"]] == [
        one for one in before["spec"]["traffic"] if one["percent"]
    ]


def test_an_entry_that_cannot_be_read_any_more_opens_no_pod(stage: Stage) -> None:
    stage.trust(hop=[HOP])
    stage.write(function_body())
    stage.settle()
    closed = hop_environment(stage)
    assert closed
    stage.trust_entry({"key": HOP, "hop": "not a list"})
    stage.settle()
    assert hop_environment(stage) == closed


def test_the_end_of_a_keys_time_opens_no_pod(stage: Stage) -> None:
    stage.trust(hop=[HOP], until="2999-01-01T00:00:00Z")
    stage.write(function_body())
    stage.settle()
    closed = hop_environment(stage)
    stage.trust(hop=[HOP], until="2020-01-01T00:00:00Z")
    stage.settle()
    assert hop_environment(stage) == closed != {}


@pytest.mark.parametrize(
    "called_by",
    [
        {"domains": ["orders.example.com"]},
        {"triggers": [{"name": "all", "broker": "default", "attributes": {}, "retries": 1}]},
    ],
)
def test_a_function_that_others_than_the_gateway_call_asks_for_no_token(
    stage: Stage, called_by: dict[str, Any]
) -> None:
    stage.trust(hop=[HOP])
    stage.write(function_body())
    stage.settle()
    assert hop_environment(stage)
    stage.write(function_body(**called_by), epoch=2)
    stage.settle()
    assert hop_environment(stage) == {}
