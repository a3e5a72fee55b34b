"""What the control plane writes into a cluster for one function: its Function, its Secrets, its Tombstone.

Pure: from wanted state to manifests. Signing and sending them is in `runtime`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from control_plane.domain.attestations import ReleaseStatement, TakedownStatement, workload_digest
from control_plane.domain.desired import HostTarget, Takedown, WantedRelease
from operators.resources import names

__all__ = [
    "MANAGED",
    "TARGET_LABEL",
    "make_function",
    "make_namespace",
    "make_secret",
    "make_statement",
    "make_takedown_statement",
    "make_tombstone",
    "secret_name",
]

# On everything that the control plane itself writes, and on nothing of anybody else's.
MANAGED: Final = {"app.kubernetes.io/managed-by": "ingot-console"}
TARGET_LABEL: Final = "ingot.dev/target"


def make_function(
    release: WantedRelease, targets: Sequence[HostTarget], images: Mapping[str, str]
) -> dict[str, Any]:
    """Return the Function of a release without its attestation.

    `targets` are all of this function, standing by included; `images` maps target id to repository@digest.
    """
    shares = {share.target: share for share in release.shares}
    spec: dict[str, Any] = {
        "function": release.function,
        "organization": release.organization,
        "project": release.project,
        "managedBy": "console",
        "release": {"number": release.number, "digest": release.digest},
        "versions": [
            _version(target, images[target.id], shares) for target in sorted(targets, key=lambda one: one.id)
        ],
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Function",
        "metadata": {
            "name": release.function_name,
            "namespace": names.namespace(release.project),
            "labels": MANAGED | {names.FUNCTION_LABEL: release.function},
        },
        "spec": spec,
    }


def _version(target: HostTarget, image: str, shares: Mapping[str, Any]) -> dict[str, Any]:
    share = shares.get(target.id)
    version: dict[str, Any] = {
        "name": target.id,
        "number": target.number,
        "digest": target.digest,
        "image": image,
        "percent": share.percent if share else 0,
        "limits": {
            "memoryMb": target.limits.memory_mb,
            "timeoutMs": target.limits.timeout_ms,
            "concurrency": target.limits.concurrency,
            "instances": target.limits.instances,
        },
    }
    if share and share.tag:
        version["tag"] = share.tag
    if target.settings:
        version["settings"] = dict(target.settings)
    if target.secrets:
        version["secrets"] = [
            {"name": name, "secret": secret_name(target), "key": name} for name in sorted(target.secrets)
        ]
    return version


def secret_name(target: HostTarget) -> str:
    """Return the name of the Secret with a target's secret values: another value is another target."""
    return f"{target.function_name}-{target.id}"


def make_secret(target: HostTarget, values: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the Secret with a target's opened values; nobody can change it, only delete it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(target),
            "namespace": names.namespace(target.project),
            "labels": MANAGED | {names.FUNCTION_LABEL: target.function, TARGET_LABEL: target.id},
        },
        "type": "Opaque",
        "immutable": True,
        "data": {name: base64.b64encode(value).decode() for name, value in sorted(values.items())},
    }


def make_namespace(organization: str, project: str) -> dict[str, Any]:
    """Return the namespace of a project's functions; pods there must keep to the strictest profile."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": names.namespace(project),
            "labels": MANAGED
            | {
                "ingot.dev/organization": organization,
                "ingot.dev/project": project,
                "pod-security.kubernetes.io/enforce": "restricted",
            },
        },
    }


def make_statement(manifest: Mapping[str, Any], approvals: int, epoch: int) -> ReleaseStatement:
    """Return what the release service says of a Function."""
    spec, meta = manifest["spec"], manifest["metadata"]
    return ReleaseStatement(
        function=spec["function"],
        organization=spec["organization"],
        project=spec["project"],
        namespace=meta["namespace"],
        name=meta["name"],
        release=spec["release"]["digest"],
        workload=workload_digest(spec),
        approvals=approvals,
        epoch=epoch,
    )


def make_takedown_statement(takedown: Takedown, epoch: int) -> TakedownStatement:
    """Return what the release service says of what was taken down; it counts as a whole."""
    return TakedownStatement(takedown.function, epoch, 0, tuple(sorted(takedown.versions)))


def make_tombstone(function: str, statement: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Tombstone of a function with this signed statement."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Tombstone",
        "metadata": {"name": names.admission(function), "labels": dict(MANAGED)},
        "spec": {"function": function, "statement": dict(statement)},
    }
