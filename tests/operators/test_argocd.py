"""Argo CD's health checks, run as Argo CD runs them, over objects as the operator and Knative leave them.

`python -m tests.operators.test_argocd` writes the ConfigMap anew after a check was changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from operators.conditions import Conditions
from tests.operators.stage import Stage, digest, function_body, image, version
from tests.operators.statuses import STATUSES, status_in

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "knative" / "argocd"
_HEAD = """\
# Argo CD's ConfigMap with the health of Functions, Brokers and Triggers; made of the .lua files beside it.
# Merge it into the one that Argo CD has:
#   kubectl patch configmap argocd-cm -n argocd --patch-file argocd-cm.yaml
"""


class _Text(str):
    """Text that YAML writes as it stands."""


yaml.SafeDumper.add_representer(
    _Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
)


def config_map() -> str:
    """Return the ConfigMap, one entry for each check."""
    data = {
        f"resource.customizations.health.{path.stem}": _Text(path.read_text())
        for path in sorted(FOLDER.glob("*.lua"))
    }
    labels = {"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"}
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": "argocd", "labels": labels},
        "data": data,
    }
    return _HEAD + str(yaml.safe_dump(body, sort_keys=False))


def health(check: str, body: dict[str, Any]) -> tuple[str, str]:
    """Return (status, message) of an object: Argo CD gives the script `obj` and the safe libraries alone."""
    runtime = lua51.LuaRuntime(register_eval=False, register_builtins=False, unpack_returned_tuples=True)
    for name in ("io", "os", "package", "require", "dofile", "loadfile", "debug"):
        runtime.globals()[name] = None
    runtime.globals()["obj"] = runtime.table_from(body, recursive=True)
    found = runtime.execute((FOLDER / f"{check}.lua").read_text())
    assert set(found.keys()) == {"status", "message"}
    assert found["status"] in {"Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"}
    assert isinstance(found["message"], str)
    return found["status"], found["message"]


def test_the_config_map_holds_these_checks() -> None:
    written = (FOLDER / "argocd-cm.yaml").read_text()
    assert written == config_map(), "run: python -m tests.operators.test_argocd"
    names = set(yaml.safe_load(written)["data"])
    assert names == {
        "resource.customizations.health.ingot.dev_Function",
        "resource.customizations.health.eventing.knative.dev_Broker",
        "resource.customizations.health.eventing.knative.dev_Trigger",
    }


@pytest.mark.parametrize("name", sorted(STATUSES))
def test_a_function_is_as_healthy_as_it_says(stage: Stage, name: str) -> None:
    body = status_in(stage, name)
    status, reason = STATUSES[name].ready
    expected = {"True": "Healthy", "False": "Degraded", "Unknown": "Progressing"}[status]
    found, message = health("ingot.dev_Function", body)
    assert found == expected
    assert message.split(":")[0] == reason


def test_a_function_that_nobody_looked_at_is_on_its_way() -> None:
    body = function_body()
    body["metadata"]["generation"] = 1
    assert health("ingot.dev_Function", body)[0] == "Progressing"
    body["status"] = {"fence": 3}
    assert health("ingot.dev_Function", body)[0] == "Progressing"


def test_a_new_generation_is_on_its_way_however_well_the_old_one_does(stage: Stage) -> None:
    stage.write(function_body())
    stage.settle()
    body = stage.api.get("functions", "orders", "shop")
    assert body is not None
    assert health("ingot.dev_Function", body)[0] == "Healthy"
    body["metadata"]["generation"] += 1
    assert health("ingot.dev_Function", body) == ("Progressing", "The status is of an older generation.")


def test_a_condition_without_words_is_said_by_its_reason() -> None:
    conditions = Conditions(1)
    conditions.failed("Admitted", "TakenDown", "")
    body = function_body()
    body["metadata"]["generation"] = 1
    body["status"] = {"observedGeneration": 1, "conditions": conditions.document([], "2026-11-23T12:00:00Z")}
    assert health("ingot.dev_Function", body) == ("Degraded", "TakenDown")


def _knative(kind: str, *conditions: dict[str, str], observed: int = 2) -> dict[str, Any]:
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": kind,
        "metadata": {"name": "default", "namespace": "shop", "generation": 2},
        "status": {"observedGeneration": observed, "conditions": list(conditions)},
    }


@pytest.mark.parametrize("kind", ["Broker", "Trigger"])
def test_brokers_and_triggers(kind: str) -> None:
    check = f"eventing.knative.dev_{kind}"
    other = {"type": "FilterReady", "status": "False", "reason": "X", "message": "y"}
    ready = {"type": "Ready", "status": "True"}
    assert health(check, {"metadata": {"generation": 1}})[0] == "Progressing"
    assert health(check, _knative(kind, other))[0] == "Progressing"
    assert health(check, _knative(kind, other, ready))[0] == "Healthy"
    assert health(check, _knative(kind, ready, observed=1))[0] == "Progressing"
    unknown = {"type": "Ready", "status": "Unknown", "reason": "BrokerNotConfigured"}
    assert health(check, _knative(kind, unknown)) == ("Progressing", "BrokerNotConfigured: ")
    failed = {"type": "Ready", "status": "False", "reason": "NoBroker", "message": "there is none"}
    assert health(check, _knative(kind, failed)) == ("Degraded", "NoBroker: there is none")
    bare = {"type": "Ready", "status": "False"}
    assert health(check, _knative(kind, bare))[0] == "Degraded"


def test_the_stage_speaks_of_the_images_that_it_plays() -> None:
    assert image("1").endswith(digest("1").removeprefix("sha256:"))
    assert version(1)["image"] == image("1")


if __name__ == "__main__":
    (FOLDER / "argocd-cm.yaml").write_text(config_map())
