"""The pages about Functions and their operator name every field, condition, reason and setting."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import yaml

from operators import failures, settings

ROOT = Path(__file__).parents[2]
RESOURCE = (ROOT / "control_plane" / "docs" / "function-resource.md").read_text("utf-8")
OPERATOR = (ROOT / "control_plane" / "docs" / "operator.md").read_text("utf-8")


def named(page: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", page))


def fields(node: dict[str, Any]) -> set[str]:
    """Return the names of all fields below a part of the schema."""
    found = set(node.get("properties", {}))
    children = [*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])]
    return found.union(*(fields(child) for child in children)) if children else found


def test_every_field_of_the_spec_is_on_the_page() -> None:
    crd = yaml.safe_load((ROOT / "knative" / "crds" / "function.yaml").read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    envelope = {"payloadType", "payload", "signatures", "keyid", "sig"}
    wanted = fields(spec) - envelope
    assert {"percent", "memoryMb", "deadLetter"} <= wanted
    assert wanted - named(RESOURCE) == set()


def test_every_reason_that_the_operator_gives_is_on_the_page() -> None:
    given = {reason for reason, _ in failures._WAITING.values()}
    for name in ("attestation", "failures", "reconcile", "status", "tombstones"):
        given |= reasons((ROOT / "operators" / f"{name}.py").read_text())
    given |= reasons((ROOT / "control_plane" / "domain" / "attestations.py").read_text())
    assert {"ImageMissing", "Moved", "NotAttested", "QuotaExceeded"} <= given
    # What is as wanted needs no advice.
    assert given - {"Serving", "Attested", "Started", "Signed"} - named(RESOURCE) == set()


def reasons(source: str) -> set[str]:
    """Return the reasons that are written out in calls: first or second argument, like CamelCase."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    texts = {
        argument.value
        for call in calls
        if called(call) in {"Refusal", "Failure", "failed", "waiting", "succeeded"}
        for argument in call.args[:2]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    # `reason, words = "ImageMissing", "…"`
    pairs = [
        node.value.elts[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
    ]
    texts |= {one.value for one in pairs if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    kinds = {"Admitted", "VersionsReady", "Routed", "TriggersReady", "DomainsReady"}
    return {text for text in texts if re.fullmatch(r"[A-Z][A-Za-z]+", text)} - kinds


def called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_every_condition_is_on_the_page() -> None:
    source = (ROOT / "operators" / "conditions.py").read_text()
    kinds = set(re.findall(r'"([A-Z][A-Za-z]+)"', source))
    kinds -= {"True", "False", "Unknown", "Serving", "Condition", "Conditions"}
    assert {"Ready", "Admitted", "Stalled"} <= kinds
    assert kinds - named(RESOURCE) == set()


def test_every_setting_is_on_the_page_and_the_other_way_round() -> None:
    source = Path(settings.__file__).read_text()
    read = set(re.findall(r'(?:given\.pop\(|_number\(\s*given,\s*)"([A-Z_]+)"', source))
    assert {"NAMESPACE", "TMP_MB"} <= read
    assert {f"{settings.PREFIX}{name}" for name in read} == {
        name for name in named(OPERATOR) if name.startswith(settings.PREFIX)
    }
