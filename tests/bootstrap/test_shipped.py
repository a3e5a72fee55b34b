"""Knative's manifests, fitted to one node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from knative.bootstrap import eventing, serving
from knative.bootstrap.plan import Profile
from knative.bootstrap.shipped import documents, files, fitted, with_data, with_images

_IMAGES = {"example.dev/cmd/a": "198.18.255.1:5000/a@sha256:1"}


def a_deployment(**pod: Any) -> dict[str, Any]:
    container = {
        "name": "a",
        "image": "ko://example.dev/cmd/a",
        "env": [{"name": "KEPT", "value": "1"}, {"name": "CHANGED", "value": "1"}],
        "readinessProbe": {"periodSeconds": 5, "initialDelaySeconds": 3},
        "resources": {"limits": {"cpu": "1"}},
    }
    spec = {"containers": [container], "affinity": {}, **pod}
    return {
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {"replicas": 2, "template": {"spec": spec}},
    }


def test_a_deployment_fits_one_small_node() -> None:
    shipped = a_deployment()
    (found,) = fitted([shipped], _IMAGES, {"a": {"CHANGED": "2"}})
    pod = found["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert found["spec"]["replicas"] == 1
    assert "affinity" not in pod
    assert container["image"] == _IMAGES["example.dev/cmd/a"]
    assert container["env"] == [{"name": "KEPT", "value": "1"}, {"name": "CHANGED", "value": "2"}]
    assert container["readinessProbe"] == {"periodSeconds": 1}
    assert "limits" not in container["resources"]
    assert shipped == a_deployment()


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "PodDisruptionBudget"])
def test_what_needs_several_replicas_is_left_out(kind: str) -> None:
    assert fitted([{"kind": kind, "metadata": {"name": "a"}}], {}, {}) == []


def test_an_image_that_nobody_built_is_an_error_wherever_it_is_named() -> None:
    with pytest.raises(KeyError, match=r"example\.dev/cmd/new"):
        with_images({"data": [{"image": "ko://example.dev/cmd/new"}]}, _IMAGES)


def test_a_setting_is_added_to_what_is_shipped() -> None:
    shipped = {"kind": "ConfigMap", "data": {"_example": "long", "a": "1"}}
    assert with_data(shipped, {"a": "2"})["data"] == {"_example": "long", "a": "2"}
    assert with_data({"kind": "ConfigMap"}, {"a": "2"})["data"] == {"a": "2"}


def test_files_are_read_in_order_without_those_named(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "a-hpa.yaml"):
        (tmp_path / name).write_text(f"kind: {name}\n---\n# nothing\n---\nkind: second\n")
    found = files(tmp_path, "*.yaml", without=("hpa",))
    assert [path.name for path in found] == ["a.yaml", "b.yaml"]
    assert [one["kind"] for one in documents(found)] == ["a.yaml", "second", "b.yaml", "second"]


def test_functions_wait_for_the_gateway_and_for_no_other_ingress() -> None:
    images = {package: f"image-of-{name}" for package, name in serving.PROGRAMS.items()}
    own = serving.settings(Profile.DURABLE, images)
    assert own["config-network"]["ingress-class"] == "ingot.dev/gateway"
    assert own["config-deployment"]["queue-sidecar-image"] == "image-of-queue"
    # Only tests scale down sooner than Knative itself would.
    assert "stable-window" not in own["config-autoscaler"]
    assert serving.settings(Profile.FAST, images)["config-autoscaler"]["stable-window"] == "10s"


def test_what_is_not_built_says_so_in_its_image() -> None:
    assert all("/not-built/" in image for image in eventing.NOT_BUILT.values())
    assert not eventing.NOT_BUILT.keys() & eventing.PROGRAMS.keys()
