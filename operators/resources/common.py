"""What all manifests of a function share: owner, labels, and the mark of what was applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from operators.resources import names
from operators.resources.model import Function

__all__ = ["OWN_TMP_MB", "Options", "Peer", "labels", "marked", "metadata", "owner"]

# What container runtimes give each pod at /dev/shm by themselves, where /tmp of our images leads.
OWN_TMP_MB: Final = 64


@dataclass(frozen=True, slots=True)
class Peer:
    """Where calls may come from: pods of a namespace, or a range of addresses. One of the two is set."""

    namespace: str = ""
    cidr: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """What the cluster's operator decides for all functions alike."""

    # Knative's own pods call functions, and so does the gateway, from the namespace of Ingot itself.
    peers: tuple[Peer, ...] = (Peer(namespace="knative-serving"), Peer(namespace="ingot-system"))
    # Secrets of each namespace that the registry asks for.
    pull_secrets: tuple[str, ...] = ()
    # How much of its memory limit an instance reserves, in percent.
    memory_request_percent: int = 25
    cpu_request: str = "25m"
    # Knative's target-burst-capacity; "0" lets warm calls go straight to the instances.
    burst_capacity: str = "0"
    # What an instance may write under /tmp; it counts as its memory.
    tmp_mb: int = OWN_TMP_MB
    # Of this namespace: `ID:BASE64` of the gateways whose tokens a call must carry; none asks for none.
    hop_keys: tuple[str, ...] = ()


def labels(function: Function) -> dict[str, str]:
    """Return the labels of everything that is made for the function."""
    return {
        "app.kubernetes.io/managed-by": "ingot",
        names.FUNCTION_LABEL: function.function,
        names.NAME_LABEL: function.name,
    }


def owner(function: Function) -> dict[str, Any]:
    """Return the reference by which the cluster deletes what belongs to a deleted function."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Function",
        "name": function.name,
        "uid": function.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata(function: Function, name: str, extra: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the metadata of an object of the function; `extra` are more labels."""
    return {
        "name": name,
        "namespace": function.namespace,
        "labels": labels(function) | dict(extra or {}),
        "ownerReferences": [owner(function)],
    }


def marked(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest with the digest of its own content as an annotation."""
    meta = manifest["metadata"]
    annotations = dict(meta.get("annotations", {})) | {names.APPLIED: names.short_digest(manifest)}
    return manifest | {"metadata": meta | {"annotations": annotations}}
