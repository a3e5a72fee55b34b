"""The group of settings that says which cluster runs what is released, and what it brings and tells.

As in `settings_groups`, each field carries its meaning, unit and the reason for its default.
"""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.settings_options import option

__all__ = ["Cluster"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster that runs what is released."""

    kubeconfig: str = option(
        "",
        "File that says where the cluster is, or `pod` for the account of the pod that Ingot runs in. Needs "
        "registry.address and gateway.ingress. Empty: released functions run on this machine.",
    )
    namespace: str = option(
        "ingot-system", "Namespace where Ingot notes how far it has written; the operator's own by default."
    )
    broker: str = option(
        "",
        "Address of the Knative Broker that carries Ingot's events, as `http://broker-ingress.knative-eventing"
        ".svc.cluster.local/NAMESPACE/NAME`. Needs cluster.kubeconfig and both cluster.consumers settings. "
        "Empty: the worker hands events to the platform's consumers itself.",
    )
    consumers_listen: str = option(
        "", "IP:port where the worker takes events from the Broker, as `0.0.0.0:8084` in a pod."
    )
    consumers_url: str = option(
        "", "URL by which the Broker reaches `cluster.consumers_listen`, as `http://ingot-worker:8084`."
    )
    prometheus: str = option(
        "",
        "Address of the Prometheus that scrapes Knative Serving, as `http://prometheus:9090`. Empty: the "
        "monitor shows of functions in the cluster what the gateway counts, without their instances.",
    )
