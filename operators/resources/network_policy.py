"""Makes the NetworkPolicy of a function: calls come from Knative and the gateway, nothing goes out.

It is the second wall, and none where the cluster's network plugin does not enforce policies.
"""

from __future__ import annotations

from typing import Any

from operators.resources import names
from operators.resources.common import Options, Peer, marked, metadata
from operators.resources.model import Function

__all__ = ["make_network_policy"]

# queue-proxy: HTTP, h2c, and the figures that the autoscaler and Prometheus collect.
_PORTS = (8012, 8013, 9090, 9091)


def make_network_policy(function: Function, options: Options) -> dict[str, Any]:
    """Return the policy of all of the function's pods, of every version."""
    return marked(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(function, function.name),
            "spec": {
                "podSelector": {"matchLabels": {names.FUNCTION_LABEL: function.function}},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    {
                        "from": [_peer(one) for one in options.peers],
                        "ports": [{"protocol": "TCP", "port": port} for port in _PORTS],
                    }
                ],
                # Functions have no outbound network yet, in either world.
                "egress": [],
            },
        }
    )


def _peer(peer: Peer) -> dict[str, Any]:
    if peer.cidr:
        return {"ipBlock": {"cidr": peer.cidr}}
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": peer.namespace}}}
