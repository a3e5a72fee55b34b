"""The bill of materials of a base image: CycloneDX 1.6 of its Debian packages.

Pure but for reading the packages' own descriptions. Licences are in the
image, at `/usr/share/doc/<package>/copyright`: Debian's are texts, not names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import rfc8785

from builders.base.deb import control_of
from builders.base.package_list import Package, PackageList

__all__ = ["base_inventory", "with_base"]


def base_inventory(packages: PackageList, files: Mapping[str, Path]) -> bytes:
    """Return the CycloneDX document of a base image; `files` are the packages themselves."""
    base = f"base:{packages.digest}"
    components = [
        _component(packages, item, files[item.name]) for item in sorted(packages.packages, key=_name)
    ]
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": base,
                "name": f"base-{packages.runtime}",
                "version": packages.digest,
                "properties": [
                    {"name": "ingot:platform", "value": packages.platform},
                    {"name": "ingot:runtime", "value": packages.runtime},
                ],
            }
        },
        "components": components,
        "dependencies": [
            {"ref": base, "dependsOn": [item["bom-ref"] for item in components]},
            *({"ref": item["bom-ref"]} for item in components),
        ],
    }
    return rfc8785.dumps(document)


def _name(item: Package) -> str:
    return item.name


def _component(packages: PackageList, item: Package, path: Path) -> dict[str, Any]:
    fields = HeaderParser().parsestr(control_of(path).decode("utf-8", "replace"))
    architecture = str(fields["Architecture"] or "")
    distro = f"{packages.vendor}-{packages.release}"
    purl = (
        f"pkg:deb/{packages.vendor}/{quote(item.name, safe='+.-')}@{quote(item.version, safe='.-')}"
        f"?arch={architecture}&distro={distro}"
    )
    return {
        "type": "library",
        "bom-ref": purl,
        "name": item.name,
        "version": item.version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": item.sha256}],
    }


def with_base(version: bytes, base: bytes) -> bytes:
    """Return the bill of materials of an image: all of a version and all of its base image."""
    whole, below = json.loads(version), json.loads(base)
    image, foundation = whole["metadata"]["component"], below["metadata"]["component"]
    whole["components"] = [foundation, *whole["components"], *below["components"]]
    dependencies = {one["ref"]: dict(one) for one in [*whole["dependencies"], *below["dependencies"]]}
    direct = dependencies.setdefault(image["bom-ref"], {"ref": image["bom-ref"]})
    direct["dependsOn"] = [*direct.get("dependsOn", []), foundation["bom-ref"]]
    whole["dependencies"] = list(dependencies.values())
    return rfc8785.dumps(whole)
