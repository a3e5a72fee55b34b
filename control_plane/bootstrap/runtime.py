"""Where released functions run: on this machine's host, or in a cluster that the settings name."""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.adapters.cluster.runtime import ClusterRuntime, Keys
from control_plane.adapters.cluster.split_runtime import SplitRuntime
from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.adapters.embedded.secrets import AesSealer
from control_plane.bootstrap.cluster import make_cluster
from control_plane.bootstrap.images import make_images
from control_plane.bootstrap.parts import key, make_runtime
from control_plane.bootstrap.storage import make_blobs
from control_plane.errors import Invalid
from control_plane.ports import Runtime
from control_plane.services.changes import Changes
from control_plane.services.release_images import ReleaseImages
from control_plane.settings import Settings

__all__ = ["make_release_runtime"]


def make_release_runtime(settings: Settings, changes: Changes, keys: Mapping[str, str]) -> Runtime:
    """Return who runs releases. Raises Invalid, naming the setting."""
    host = make_runtime(settings)
    wanted = settings.cluster
    if not wanted.kubeconfig:
        return host
    images = make_images(settings)
    if images is None:
        raise Invalid(
            "A cluster needs a registry to pull from, and registry.address is not set.",
            field="registry.address",
        )
    cluster = make_cluster(settings)
    blobs = make_blobs(settings)
    runtime = ClusterRuntime(
        cluster,
        Keys(Ed25519Signer(key(keys, "release")), AesSealer(key(keys, "master"))),
        ReleaseImages(changes, images, blobs).of,
        namespace=wanted.namespace,
    )
    return SplitRuntime(host, runtime)
