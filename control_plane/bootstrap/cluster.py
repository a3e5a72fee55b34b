"""The client of the cluster that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.errors import Invalid
from control_plane.settings import Settings

if TYPE_CHECKING:
    from operators.cluster import Cluster

__all__ = ["make_cluster"]

_POD = "pod"


def make_cluster(settings: Settings) -> Cluster:
    """Return a client of the cluster that the settings name. Raises Invalid."""
    # It takes half a second to load, which one machine has no use for.
    from kubernetes.config import ConfigException

    from operators.cluster import connect

    wanted = settings.cluster.kubeconfig
    try:
        return connect("" if wanted == _POD else wanted)
    except (ConfigException, OSError) as error:
        raise Invalid(f"The cluster cannot be used: {error}.", field="cluster.kubeconfig") from error
