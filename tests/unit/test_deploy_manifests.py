"""What Ingot asks of a cluster: every container restricted, probed, bounded; the chart is the base."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_plane.errors import Invalid
from control_plane.settings import load_settings
from knative.deploy.chart import chart_files
from knative.deploy.overlay import NAMESPACE, SECRETS, image_parts, make_kustomization, make_secret
from operators.ingress.manifests import manifests
from operators.ingress.settings import IngressSettings

KNATIVE = Path(__file__).resolve().parents[2] / "knative"
BASE = KNATIVE / "base"
IMAGE = f"registry.example/ingot/ingot@sha256:{'a' * 64}"
WORKLOADS = ("StatefulSet", "Deployment", "Job")


def _objects(folder: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        yield from (item for item in yaml.safe_load_all((folder / name).read_text()) if item)


def _base() -> list[dict[str, Any]]:
    return list(_objects(BASE, yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]))


def _pods() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{item['kind']}/{item['metadata']['name']}", item["spec"]["template"])
        for item in _base()
        if item["kind"] in WORKLOADS
    ]


def _containers() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{name}/{container['name']}", container)
        for name, template in _pods()
        for container in template["spec"]["containers"]
    ]


def test_the_parts_are_there() -> None:
    running = {"StatefulSet/ingot-console", "Deployment/ingot-operator", "Deployment/ingot-gateway"}
    assert {name for name, _ in _pods()} == running | {"Job/ingot-migrate"}


@pytest.mark.parametrize(("name", "template"), _pods())
def test_every_pod_is_restricted(name: str, template: dict[str, Any]) -> None:
    spec = template["spec"]
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
    for volume in spec["volumes"]:
        kinds = volume.keys() - {"name"}
        assert kinds <= {"emptyDir", "configMap", "projected", "secret"}, volume
        assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"], name


@pytest.mark.parametrize(("name", "container"), _containers())
def test_every_container_is_restricted_bounded_and_probed(name: str, container: dict[str, Any]) -> None:
    context = container["securityContext"]
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    # Only a placeholder: the image comes in by its digest, never by a tag.
    assert container["image"] == "ingot"
    if not name.startswith("Job/"):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["timeoutSeconds"] >= 1
    assert any(mount["mountPath"] == "/tmp" for mount in container["volumeMounts"])


def test_everything_that_runs_for_good_has_a_disruption_budget_and_policies() -> None:
    items = _base()
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        chosen = [
            item["spec"].get("selector", item["spec"].get("podSelector"))["matchLabels"]
            for item in items
            if item["kind"] == kind
        ]
        for name, template in _pods():
            if kind == "PodDisruptionBudget" and name.startswith("Job/"):
                continue
            assert template["metadata"]["labels"] in chosen, (kind, name)
    denied = next(item for item in items if item["metadata"]["name"] == "ingot-nothing")
    assert denied["spec"] == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "ingot"}},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_no_role_may_do_everything_and_only_the_console_and_the_gateway_see_secrets() -> None:
    for item in _base():
        for rule in item.get("rules", ()):
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"], item["metadata"]
            if "secrets" in rule["resources"]:
                assert item["metadata"]["name"] in {"ingot-console", "ingot-gateway"}


def test_the_gateways_rights_are_those_that_its_module_prints() -> None:
    account = {"kind": "ServiceAccount", "name": "ingot-gateway", "namespace": NAMESPACE}
    made = [
        each
        for each in manifests(IngressSettings(Path(), Path()), account, None)
        if each["kind"] != "Namespace"
    ]
    assert list(_objects(BASE, ["workloads/gateway-rights.yaml"])) == made


@pytest.mark.parametrize("path", ["base/workloads", "overlays/dev", "overlays/prod"])
def test_settings_are_settings(path: str, tmp_path: Path) -> None:
    written = yaml.safe_load((KNATIVE / path / "settings.yaml").read_text())["data"]["ingot.toml"]
    file = tmp_path / "ingot.toml"
    file.write_text(written)
    settings = load_settings(tmp_path, {}, file)
    assert settings.listen.address == "0.0.0.0"
    assert settings.registry.address
    assert settings.storage.bucket


def test_the_secrets_that_pods_refer_to_are_those_that_are_named() -> None:
    text = json.dumps(_base())
    assert {name for name in SECRETS if f'"name": "{name}"' in text} == set(SECRETS)
    assert all(
        f'"key": "{key}"' in text for name in SECRETS if name != "ingot-database" for key in SECRETS[name]
    )


def test_a_secret_without_an_entry_is_refused() -> None:
    with pytest.raises(Invalid, match="secret-key"):
        make_secret("ingot-storage", {})
    assert make_secret("ingot-storage", {"secret-key": "s"})["data"] == {"secret-key": "cw=="}


@pytest.mark.parametrize("image", ["ingot", "registry.example/ingot:latest", f"a@sha256:{'A' * 64}", ""])
def test_an_image_by_a_tag_is_refused(image: str) -> None:
    with pytest.raises(Invalid, match="digest"):
        image_parts(image)


def test_a_kustomization_puts_the_digest_in_and_names_the_migration_by_it() -> None:
    made = make_kustomization("../x", IMAGE)
    digest = "sha256:" + "a" * 64
    assert made["images"] == [{"name": "ingot", "newName": "registry.example/ingot/ingot", "digest": digest}]
    assert json.loads(made["patches"][0]["patch"])[0]["value"] == f"ingot-migrate-{'a' * 12}"


def test_the_chart_holds_every_file_of_the_base_and_every_value_that_it_asks_for() -> None:
    files = chart_files(KNATIVE, "1.2.3", IMAGE)
    resources = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert {f"templates/{name.replace('/', '-')}" for name in resources} <= files.keys()
    for path in (KNATIVE / "crds").glob("*.yaml"):
        assert files[f"crds/{path.name}"] == path.read_text()
    values = yaml.safe_load(files["values.yaml"])
    assert values["image"] == IMAGE
    for name, text in files.items():
        for asked in re.findall(r"\.Values\.([A-Za-z.]+)", text) if name.startswith("templates/") else ():
            found: Any = values
            for part in asked.split("."):
                assert part in found, (name, asked)
                found = found[part]
        if name.startswith("templates/"):
            assert f"namespace: {NAMESPACE}" not in text
            assert "image: ingot\n" not in text
