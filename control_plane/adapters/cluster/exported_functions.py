"""A release as a resource that git keeps and a cluster admits: attested, and not the console's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from control_plane.adapters.cluster.attesting import signed
from control_plane.adapters.cluster.function_resources import make_function, make_statement
from control_plane.domain.desired import HostState, HostTarget
from control_plane.ports import Signer
from operators.resources import names

__all__ = ["attested_function"]


def attested_function(
    state: HostState,
    place: tuple[str, str],
    epoch: int,
    *,
    image_of: Callable[[HostTarget], str],
    signer: Signer,
) -> dict[str, Any]:
    """Return the Function of the one release in `state`, attested for a namespace and a name."""
    [release] = state.releases
    namespace, name = place
    made = make_function(release, state.targets, {one.id: image_of(one) for one in state.targets})
    manifest = {
        "apiVersion": made["apiVersion"],
        "kind": made["kind"],
        # Without the console's label: it deletes what carries it and is wanted no more.
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {names.FUNCTION_LABEL: release.function},
        },
        "spec": made["spec"] | {"managedBy": "git"},
    }
    statement = make_statement(manifest, release.approvals, epoch)
    return manifest | {"spec": manifest["spec"] | {"attestation": signed(statement, signer)}}
