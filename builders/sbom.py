"""Writes a CycloneDX 1.6 bill of materials: what is in a version on one platform.

Deterministic: no time, no serial number, components in order. Licences come
from the wheels' own metadata in the unpacked dependency layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import rfc8785
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name

from builders.freeze import Frozen
from builders.locked import Lock, LockedPackage, Wheel
from builders.plan import Plan

__all__ = ["bill_of_materials"]

_CLASSIFIER = "License :: "


def bill_of_materials(
    plan: Plan, frozen: Frozen, lock: Lock, platform: str, dependencies: Path | None
) -> bytes:
    """Return the CycloneDX document. `dependencies` is the unpacked dependency layer."""
    licences = dict(_licences(dependencies)) if dependencies else {}
    chosen = lock.for_platform(platform)
    function = f"function:{frozen.digest}"
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": function,
                "name": plan.name or "function",
                "version": frozen.digest,
                "hashes": [{"alg": "SHA-256", "content": frozen.digest.removeprefix("sha256:")}],
                "properties": [
                    {"name": "ingot:platform", "value": platform},
                    {"name": "ingot:runtime", "value": f"python{lock.python}"},
                ],
            }
        },
        "components": [_component(item, wheel, licences) for item, wheel in chosen],
        "dependencies": [
            {"ref": function, "dependsOn": [_purl(item, wheel) for item, wheel in chosen]},
            *({"ref": _purl(item, wheel)} for item, wheel in chosen),
        ],
    }
    return rfc8785.dumps(document)


def _purl(item: LockedPackage, wheel: Wheel) -> str:
    return f"pkg:pypi/{item.name}@{quote(item.version, safe='.')}?file_name={quote(wheel.file, safe='.-_')}"


def _component(item: LockedPackage, wheel: Wheel, licences: Mapping[str, list[Any]]) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(item, wheel),
        "name": item.name,
        "version": item.version,
        "purl": _purl(item, wheel),
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
    }
    if licences.get(item.name):
        component["licenses"] = licences[item.name]
    return component


def _licences(folder: Path) -> Iterator[tuple[str, list[Any]]]:
    for path in sorted(folder.glob("*.dist-info/METADATA")):
        headers = HeaderParser().parsestr(path.read_text(encoding="utf-8", errors="replace"))
        yield canonicalize_name(str(headers["Name"] or "")), _licence(headers)


def _licence(headers: Any) -> list[Any]:
    """Return the best that a package says: an SPDX expression, its classifiers, or its short name."""
    expression = str(headers["License-Expression"] or "").strip()
    if expression:
        try:
            return [{"expression": str(canonicalize_license_expression(expression))}]
        except InvalidLicenseExpression:
            return [{"license": {"name": expression[:200]}}]
    classifiers = sorted(
        str(value).rsplit(" :: ", 1)[-1]
        for value in headers.get_all("Classifier", [])
        if str(value).startswith(_CLASSIFIER)
    )
    if classifiers:
        return [{"license": {"name": name}} for name in classifiers]
    text = str(headers["License"] or "").strip()
    return [{"license": {"name": text}}] if text and "\n" not in text and len(text) <= 200 else []
