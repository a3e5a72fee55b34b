"""What a Function becomes, as golden pairs: tests/data/functions/input/*.yaml -> output/*.yaml.

After a wanted change: `python -m tests.operators.test_manifests` writes the output anew; read its diff.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from operators.resources.common import Options, Peer
from operators.resources.domain_mapping import make_domain_mapping
from operators.resources.knative_service import make_knative_service, make_template
from operators.resources.model import Malformed, read_function
from operators.resources.names import short_digest
from operators.resources.network_policy import make_network_policy
from operators.resources.rollout import Revision, plan_rollout
from operators.resources.service_account import make_service_account
from operators.resources.trigger import make_trigger

DATA = Path(__file__).resolve().parents[1] / "data" / "functions"
NAMES = sorted(path.stem for path in (DATA / "input").glob("*.yaml"))
OPTIONS = Options(
    peers=(Peer(namespace="knative-serving"), Peer(cidr="198.18.255.1/32")), pull_secrets=("registry",)
)


def render(name: str) -> list[dict[str, Any]]:
    """Return all manifests of one input, as they are once every version answers."""
    function = read_function(yaml.safe_load((DATA / "input" / f"{name}.yaml").read_text()))
    first = plan_rollout(function, OPTIONS, None, {})
    ready = {one: Revision(one, "", ready=True) for one in first.revisions.values()}
    rollout = plan_rollout(function, OPTIONS, None, ready)
    return [
        make_service_account(function, OPTIONS),
        make_network_policy(function, OPTIONS),
        make_knative_service(function, rollout.template, rollout.traffic),
        *(make_trigger(function, one) for one in function.triggers),
        *(make_domain_mapping(function, one) for one in function.domains),
    ]


def text(name: str) -> str:
    return str(yaml.safe_dump_all(render(name), sort_keys=False, width=110))


@pytest.mark.parametrize("name", NAMES)
def test_a_function_becomes_these_manifests(name: str) -> None:
    expected = (DATA / "output" / f"{name}.yaml").read_text()
    assert text(name) == expected, "run: python -m tests.operators.test_manifests"


@pytest.mark.parametrize("name", NAMES)
def test_everything_belongs_to_the_function_and_says_what_was_applied(name: str) -> None:
    for manifest in render(name):
        meta = manifest["metadata"]
        assert meta["namespace"] == "shop"
        assert [one["uid"] for one in meta["ownerReferences"]] == ["11111111-2222-3333-4444-555555555555"]
        mark = meta["annotations"].pop("ingot.dev/applied")
        if not meta["annotations"]:
            del meta["annotations"]
        assert mark == short_digest(manifest)


def test_a_revision_is_named_by_all_that_is_in_it() -> None:
    body = yaml.safe_load((DATA / "input" / "one-version.yaml").read_text())
    names = set()
    for change in ({}, {"image": "registry.example/orders@sha256:" + "c" * 64}, {"settings": {"A": "1"}}):
        body["spec"]["versions"][0] |= change
        function = read_function(body)
        names.add(plan_rollout(function, OPTIONS, None, {}).revisions["v1"])
    other = plan_rollout(read_function(body), Options(cpu_request="1"), None, {}).revisions["v1"]
    assert len(names | {other}) == 4
    assert all(len(name) <= 63 for name in names)


def test_names_fit_into_a_dns_label_for_the_longest_function() -> None:
    body = yaml.safe_load((DATA / "input" / "one-version.yaml").read_text())
    body["metadata"]["name"] = "f" * 40
    body["spec"]["versions"][0]["name"] = "v" * 20
    function = read_function(body)
    [revision] = plan_rollout(function, OPTIONS, None, {}).revisions.values()
    assert len(revision) <= 63
    assert len(f"{'v' * 20}-{'f' * 40}") <= 63


@pytest.mark.parametrize("path", ["function", "versions", "organization"])
def test_a_resource_without_a_field_is_malformed(path: str) -> None:
    body = yaml.safe_load((DATA / "input" / "one-version.yaml").read_text())
    del body["spec"][path]
    with pytest.raises(Malformed, match=path):
        read_function(body)


@pytest.mark.parametrize("size", [64, 100])
def test_another_size_of_tmp_than_the_runtimes_own_needs_a_volume(size: int) -> None:
    function = read_function(yaml.safe_load((DATA / "input" / "one-version.yaml").read_text()))
    spec = make_template(function, function.versions[0], replace(OPTIONS, tmp_mb=size))["spec"]
    mounts = [one["mountPath"] for one in spec["containers"][0].get("volumeMounts", ())]
    sizes = [one["emptyDir"]["sizeLimit"] for one in spec.get("volumes", ())]
    assert (mounts, sizes) == (([], []) if size == 64 else (["/dev/shm"], ["100Mi"]))


if __name__ == "__main__":
    for each in NAMES:
        (DATA / "output" / f"{each}.yaml").write_text(text(each))
