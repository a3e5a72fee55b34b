"""The kustomization that puts an image into an overlay, and the Secrets that overlays refer to. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from control_plane.errors import Invalid

__all__ = ["NAMESPACE", "SECRETS", "image_parts", "make_kustomization", "make_secret"]

NAMESPACE = "ingot-system"
# Secret -> its entries: what must be there before the pods start, wherever it comes from.
SECRETS = {
    # Variables: INGOT_DATABASE_CONTROL_URL and …_USAGE_URL, and …_CONTROL_OWNER_URL where there is an owner.
    "ingot-database": ("INGOT_DATABASE_CONTROL_URL", "INGOT_DATABASE_USAGE_URL"),
    "ingot-registry": ("password", "signing-key.pem"),
    "ingot-storage": ("secret-key",),
    "ingot-keys": ("master.key", "audit.key", "cursor.key", "files.key", "release.key", "hop.key"),
}
_IMAGE = re.compile(r"(?P<name>[a-z0-9][a-z0-9.:/_-]*)@(?P<digest>sha256:[0-9a-f]{64})")


def image_parts(image: str) -> tuple[str, str]:
    """Return name and digest of an image. Raises Invalid for one that is named by a tag."""
    found = _IMAGE.fullmatch(image)
    if found is None:
        raise Invalid(
            f"{image} is no image by its digest.",
            field="image",
            hint="Use what scripts/ingot_image.py push prints: registry/name@sha256:….",
        )
    return found["name"], found["digest"]


def make_kustomization(overlay: str, image: str) -> dict[str, Any]:
    """Return the kustomization of an overlay with its image, which the migration's name carries."""
    name, digest = image_parts(image)
    rename = [
        {
            "op": "replace",
            "path": "/metadata/name",
            "value": f"ingot-migrate-{digest.removeprefix('sha256:')[:12]}",
        }
    ]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [overlay],
        "images": [{"name": "ingot", "newName": name, "digest": digest}],
        "patches": [
            {
                "target": {"kind": "Job", "name": "ingot-migrate"},
                "options": {"allowNameChange": True},
                "patch": json.dumps(rename),
            }
        ],
    }


def make_secret(name: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Return a Secret of Ingot's namespace."""
    missing = sorted(set(SECRETS[name]) - set(values))
    if missing:
        raise Invalid(f"The Secret {name} needs {', '.join(missing)}.", field=name)
    data = {key: base64.b64encode(values[key].encode()).decode() for key in sorted(values)}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/name": "ingot"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
